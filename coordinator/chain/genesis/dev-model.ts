import { type TensorInMemory, tensorInMemory } from '#coordinator/chain/genesis/content.ts';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { type ModelConfig, parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';

/** Sizes of the development network's model: 0.9 million weights, which two cores train within minutes. */
export const DEV_MODEL = {
  vocabSize: 1024,
  context: 128,
  width: 128,
  layers: 4,
  heads: 4,
} as const;

/** Chosen once; another seed is another genesis. */
const WEIGHTS_SEED = 1851;

/** Id of `<|endoftext|>` in tokenizers of our own. */
const END_OF_TEXT_ID = 0;

/** The model's `config.json`, as Hugging Face writes it for GPT-2. */
export function devConfigJson(): string {
  const { vocabSize, context, width, layers, heads } = DEV_MODEL;
  const config = {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    activation_function: 'gelu_new',
    vocab_size: vocabSize,
    n_positions: context,
    n_embd: width,
    n_layer: layers,
    n_head: heads,
    n_inner: null,
    layer_norm_epsilon: 1e-5,
    initializer_range: 0.02,
    resid_pdrop: 0,
    embd_pdrop: 0,
    attn_pdrop: 0,
    tie_word_embeddings: true,
    bos_token_id: END_OF_TEXT_ID,
    eos_token_id: END_OF_TEXT_ID,
    torch_dtype: 'float32',
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** The seeded weights from which everybody starts, in name order. */
export function devTensors(): TensorInMemory[] {
  const config: ModelConfig = parseModelConfig(JSON.parse(devConfigJson()));
  const shapes = tensorShapes(config);
  return [...initialWeights(config, WEIGHTS_SEED)].map(([name, values]) =>
    tensorInMemory({
      name,
      dtype: 'F32',
      shape: shapes.get(name) as number[],
      bytes: littleEndian(values),
    }),
  );
}

function littleEndian(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) view.setFloat32(i * 4, values[i] as number, true);
  return bytes;
}
