/*
 * SIMD kernels in AssemblyScript that work on the memory of the TensorFlow.js wasm backend. Addresses are
 * bytes, counts and strides are values. float32 throughout; token ids are int32.
 */
export { adamW } from './adamw';
export { attention, attentionCached, attentionGrad, attentionScratchBytes } from './attention';
export { embed, embedGrad } from './embedding';
export { headLosses, headMeanLoss, headScratchBytes } from './head';
export { scratchBytes } from './layout';
export { matmul } from './matmul';
export { layerNorm, layerNormGrad, sumOfSquares } from './norm';
export { gelu, geluGrad, sumRows } from './pointwise';
