import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { seededUniform, type Uniform } from '#shared/weights/random.ts';

/** Standard deviation of fresh matrices (Radford et al. 2019, GPT-2). */
const MATRIX_SD = 0.02;
/**
 * Of the logits that a fresh model gives, by way of its token embeddings. GPT-2's 0.02 suits its width of 768;
 * at a width of 128, embeddings of 0.06 stood at 5.33 nats after 53,000 tokens of Moby Dick against 5.75 with
 * 0.02, those of 0.045 a little better, those of 0.1 worse.
 */
const LOGIT_SD = 0.5;
/** Positions matter less than tokens at first: as large as these, they would only be noise on them. */
const POSITION_SD = 0.005;

const EMBEDDINGS = ['transformer.wte.weight', 'model.embed_tokens.weight'];
/** The two matrices of each block whose results are added to the residual stream, by their names in the families. */
const WRITES_RESIDUAL = /\.(c_proj|o_proj|down_proj)\.weight$/;

/**
 * Fresh float32 weights of a model, the same bytes on every machine: matrices near normal with standard
 * deviation 0.02, those that write to the residual stream divided by √(2·layers), the head (with tied token
 * embeddings: these) such that logits have a standard deviation of 0.5, small position embeddings, norms 1, biases 0.
 */
export function initialWeights(config: ModelConfig, seed: number): Map<string, Float32Array> {
  const uniform = seededUniform(seed);
  const weights = new Map<string, Float32Array>();
  for (const [name, shape] of tensorShapes(config)) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (shape.length === 2) fillNormal(values, uniform, sdOf(name, config));
    else if (name.endsWith('.weight')) values.fill(1);
    weights.set(name, values);
  }
  return weights;
}

function sdOf(name: string, { layers, width, tiedHead }: ModelConfig): number {
  if (name === 'transformer.wpe.weight') return POSITION_SD;
  const isHead = tiedHead ? EMBEDDINGS.includes(name) : name === 'lm_head.weight';
  // The last norm leaves hidden states of length √width.
  if (isHead) return LOGIT_SD / Math.sqrt(width);
  return WRITES_RESIDUAL.test(name) ? MATRIX_SD / Math.sqrt(2 * layers) : MATRIX_SD;
}

/**
 * Sums of four uniforms, centred: near enough to a normal, and made only of operations that IEEE 754
 * rounds exactly, where `Math.log` and `Math.cos` differ between engines. A uniform has variance 1/12.
 */
function fillNormal(values: Float32Array, uniform: Uniform, sd: number): void {
  const scale = sd * Math.sqrt(3);
  for (let i = 0; i < values.length; i++) {
    values[i] = (uniform() + uniform() + uniform() + uniform() - 2) * scale;
  }
}
