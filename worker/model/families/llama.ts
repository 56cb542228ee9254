import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import { llamaBlockShapes } from '#shared/weights/families/llama.ts';
import type { LlamaConfig } from '#shared/weights/model-config.ts';
import { add, gather, linear, rmsNorm, rope, swiglu } from '#worker/model/blocks.ts';
import type { Rotation } from '#worker/model/kernels/kernels.ts';
import type { Lookup, Network } from '#worker/model/network.ts';
import { rotationAt } from '#worker/model/rotation.ts';

/** What a relative does to queries [n,H·D] or keys [n,K·D] before they are turned; `name` is `q` or `k`. */
export type Prepare = (w: Lookup, x: Tensor2D, at: { layer: number; name: 'q' | 'k' }) => Tensor2D;

/*
 * Llama (Touvron et al. 2023) with the tensor names of its Hugging Face checkpoints, matrices as [out, in].
 * n rows, C width, F inner width, V vocabulary; H heads of queries, K of keys and values, D values each.
 */
export function llamaNetwork(config: LlamaConfig, prepare: Prepare = (_, x) => x): Network {
  const { heads, kvHeads, normEpsilon, biases } = config;

  const norm = (w: Lookup, x: Tensor2D, name: string) =>
    rmsNorm(x, w(`${name}.weight`) as Tensor1D, normEpsilon);
  const project = (w: Lookup, x: Tensor2D, name: string, bias: boolean) =>
    linear(x, w(`${name}.weight`) as Tensor2D, bias ? (w(`${name}.bias`) as Tensor1D) : null, 'out-in');

  const blockNames = llamaBlockShapes(config).map(([name]) => name);
  const headName = config.tiedHead ? 'model.embed_tokens.weight' : 'lm_head.weight';
  return {
    config,
    names: {
      embed: ['model.embed_tokens.weight'],
      block: (layer) => blockNames.map((name) => `model.layers.${layer}.${name}`),
      end: ['model.norm.weight'],
      head: [headName],
    },
    heads: () => ({ heads, kvHeads, window: null }),
    places: (positions) => ({ positions: null, rotation: rotationAt(positions, config) }),
    embed: (w, ids) => gather(w('model.embed_tokens.weight') as Tensor2D, ids), // [n,C]
    block(w, x, { layer, places, attend }) {
      const l = `model.layers.${layer}`;
      const rotation = places.rotation as Rotation;
      const h = norm(w, x, `${l}.input_layernorm`); // [n,C]
      const q = prepare(w, project(w, h, `${l}.self_attn.q_proj`, biases.qkv), { layer, name: 'q' }); // [n,H·D]
      const k = prepare(w, project(w, h, `${l}.self_attn.k_proj`, biases.qkv), { layer, name: 'k' }); // [n,K·D]
      const v = project(w, h, `${l}.self_attn.v_proj`, biases.qkv); // [n,K·D]
      const looked = attend(rope(q, rotation, heads), rope(k, rotation, kvHeads), v, layer); // [n,H·D]
      const seen = add(x, project(w, looked, `${l}.self_attn.o_proj`, biases.output)); // [n,C]
      const u = norm(w, seen, `${l}.post_attention_layernorm`); // [n,C]
      const gate = project(w, u, `${l}.mlp.gate_proj`, biases.mlp); // [n,F]
      const up = project(w, u, `${l}.mlp.up_proj`, biases.mlp); // [n,F]
      return add(seen, project(w, swiglu(gate, up), `${l}.mlp.down_proj`, biases.mlp)); // [n,C]
    },
    end: (w, x) => norm(w, x, 'model.norm'),
    head: (w) => w(headName) as Tensor2D,
  };
}
