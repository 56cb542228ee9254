import type { LlamaConfig } from '#shared/weights/model-config.ts';
import { mistralNetwork } from '#worker/model/families/mistral.ts';
import type { Network } from '#worker/model/network.ts';

/** Qwen2 (Yang et al. 2024): Llama with a bias on queries, keys and values, and a window in some of its layers. */
export function qwen2Network(config: LlamaConfig): Network {
  return mistralNetwork(config);
}
