import assert from 'node:assert/strict';
import { it } from 'node:test';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { parseModelConfig } from '#shared/weights/model-config.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { Model } from '#worker/model/model.ts';
import { fromValues } from '#worker/model/weight-set.ts';

const VOCABULARY = 400;
const CONFIGS = [
  {
    model_type: 'gpt2',
    activation_function: 'gelu_new',
    vocab_size: VOCABULARY,
    n_positions: 128,
    n_embd: 96,
    n_layer: 2,
    n_head: 6,
  },
  {
    model_type: 'llama',
    hidden_act: 'silu',
    vocab_size: VOCABULARY,
    max_position_embeddings: 128,
    hidden_size: 72,
    intermediate_size: 150,
    num_hidden_layers: 2,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  },
];

const ids = (count: number, seed: number) =>
  Array.from({ length: count }, (_, i) => (i * i * 7 + seed * 31 + i) % VOCABULARY);

/** Logits of a text that is read in pieces of its own and goes on for 4 tokens, beside those of `mates` others. */
async function logitsBeside(model: Model, mates: number): Promise<Float32Array[]> {
  const sequence = model.newSequence();
  const others = Array.from({ length: mates }, (_, k) => ({ sequence: model.newSequence(), k }));
  const logits: Float32Array[] = [];
  for (const [pass, piece] of [ids(64, 1), ids(26, 2), [3], [4], [5], [6]].entries()) {
    const rest = others.map(({ sequence, k }) => ({ sequence, ids: ids(1, k) }));
    const beside = piece.length > 1 ? [] : rest;
    if (piece.length > 1 && mates > 0) await model.next(rest);
    const all = [{ sequence, ids: piece }, ...beside];
    if (pass % 2 === 1) all.reverse();
    const made = await model.next(all);
    logits.push(made[all.findIndex((part) => part.sequence === sequence)]!.slice());
  }
  for (const one of [sequence, ...others.map((other) => other.sequence)]) model.disposeSequence(one);
  return logits;
}

it('wasm: logits after single tokens are the same bits, whatever goes through the network with them', async () => {
  await startBackend('wasm');
  for (const file of CONFIGS) {
    const config = parseModelConfig(file);
    const model = await Model.load(config, fromValues(initialWeights(config, 3)));
    const alone = await logitsBeside(model, 0);
    for (const mates of [1, 2, 4, 7]) assert.deepEqual(await logitsBeside(model, mates), alone);
    model.dispose();
  }
});
