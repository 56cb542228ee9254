import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { gpt2BlockShapes } from '#shared/weights/families/gpt2.ts';
import type { Gpt2Config } from '#shared/weights/model-config.ts';
import { add, gather, gelu, layerNorm, linear } from '#worker/model/blocks.ts';
import type { Lookup, Network } from '#worker/model/network.ts';

/*
 * GPT-2 (Radford et al. 2019) with the tensor names of its Hugging Face checkpoints, matrices as [in, out].
 * n rows, C width, F inner width, T context, V vocabulary.
 */
export function gpt2Network(config: Gpt2Config): Network {
  const { heads, normEpsilon } = config;

  const norm = (w: Lookup, x: Tensor2D, name: string) =>
    layerNorm(x, { gain: w(`${name}.weight`) as Tensor1D, bias: w(`${name}.bias`) as Tensor1D }, normEpsilon);
  const project = (w: Lookup, x: Tensor2D, name: string) =>
    linear(x, w(`${name}.weight`) as Tensor2D, w(`${name}.bias`) as Tensor1D, 'in-out');

  const blockNames = gpt2BlockShapes(config).map(([name]) => name);
  const headName = config.tiedHead ? 'transformer.wte.weight' : 'lm_head.weight';
  return {
    config,
    names: {
      embed: ['transformer.wte.weight', 'transformer.wpe.weight'],
      block: (layer) => blockNames.map((name) => `transformer.h.${layer}.${name}`),
      end: ['transformer.ln_f.weight', 'transformer.ln_f.bias'],
      head: [headName],
    },
    heads: () => ({ heads, kvHeads: heads, window: null }),
    places: (positions) => ({ positions: tf.tensor1d(positions, 'int32'), rotation: null }),
    embed(w, ids, { positions }) {
      const tokens = gather(w('transformer.wte.weight') as Tensor2D, ids); // [n,C]
      return add(tokens, gather(w('transformer.wpe.weight') as Tensor2D, positions as Tensor1D)); // [n,C]
    },
    block(w, x, { layer, attend }) {
      const h = `transformer.h.${layer}`;
      const qkv = project(w, norm(w, x, `${h}.ln_1`), `${h}.attn.c_attn`); // [n,3C]
      const [q, k, v] = tf.split(qkv, 3, 1) as [Tensor2D, Tensor2D, Tensor2D]; // [n,C] each
      const seen = add(x, project(w, attend(q, k, v, layer), `${h}.attn.c_proj`)); // [n,C]
      const inner = gelu(project(w, norm(w, seen, `${h}.ln_2`), `${h}.mlp.c_fc`)); // [n,F]
      return add(seen, project(w, inner, `${h}.mlp.c_proj`)); // [n,C]
    },
    end: (w, x) => norm(w, x, 'transformer.ln_f'),
    head: (w) => w(headName) as Tensor2D,
  };
}
