import type { LlamaConfig } from '#shared/weights/model-config.ts';
import { llamaNetwork, type Prepare } from '#worker/model/families/llama.ts';
import type { Network } from '#worker/model/network.ts';

/** Mistral (Jiang et al. 2023): Llama, but a token sees no more than the last tokens, a window of them. */
export function mistralNetwork(config: LlamaConfig, prepare?: Prepare): Network {
  const llama = llamaNetwork(config, prepare);
  return { ...llama, heads: (layer) => ({ ...llama.heads(layer), window: config.windows[layer] ?? null }) };
}
