/*
 * SIMD kernels in AssemblyScript that work on the memory of the TensorFlow.js wasm backend. Addresses are
 * bytes, counts and strides are values. float32 throughout; token ids are int32.
 */
export { adamW } from './adamw';
export { attention, attentionCached, attentionGrad, attentionScratchBytes } from './attention';
export { gather, scatterAdd } from './embedding';
export { gradScratchBytes, headLosses, headMeanLoss, lossScratchBytes } from './head';
export { scratchBytes } from './layout';
export { matmul } from './matmul';
export { norm, normGrad, sumOfSquares } from './norm';
export { copy, copyColumns, gelu, geluGrad, sumRows } from './pointwise';
export { rope } from './rope';
export { swiglu, swigluGrad } from './swiglu';
