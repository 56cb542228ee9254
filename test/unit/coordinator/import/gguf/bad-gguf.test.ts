import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openGguf } from '#coordinator/import/gguf/open-gguf.ts';
import { concatBytes, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { BYTE_TO_CHAR } from '#shared/text/byte-alphabet.ts';
import { type GgufFileTensor, type GgufValue, ggufFile, text, u32, u64 } from '#test/helpers/gguf-file.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const WIDTH = 8;
const TOKENS = ['<|end|>', ...BYTE_TO_CHAR, 'th', 'the'];
const METADATA: Record<string, GgufValue> = {
  'general.architecture': { text: 'llama' },
  'llama.context_length': { u32: 64 },
  'llama.embedding_length': { u32: WIDTH },
  'llama.feed_forward_length': { u32: 16 },
  'llama.block_count': { u32: 1 },
  'llama.attention.head_count': { u32: 2 },
  'llama.attention.head_count_kv': { u32: 1 },
  'llama.attention.layer_norm_rms_epsilon': { f32: 1e-5 },
  'tokenizer.ggml.model': { text: 'gpt2' },
  'tokenizer.ggml.pre': { text: 'llama-bpe' },
  'tokenizer.ggml.tokens': { texts: TOKENS },
  'tokenizer.ggml.token_type': { i32s: TOKENS.map((_, i) => (i === 0 ? 3 : 1)) },
  'tokenizer.ggml.merges': { texts: ['t h', 'th e'] },
  'tokenizer.ggml.eos_token_id': { u32: 0 },
};

const tensor = (name: string, ...shape: number[]): GgufFileTensor => ({
  name,
  shape,
  type: 0,
  bytes: new Uint8Array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5).buffer),
});
const TENSORS = [
  tensor('token_embd.weight', TOKENS.length, WIDTH),
  tensor('output_norm.weight', WIDTH),
  tensor('blk.0.attn_norm.weight', WIDTH),
  tensor('blk.0.attn_q.weight', WIDTH, WIDTH),
  tensor('blk.0.attn_k.weight', 4, WIDTH),
  tensor('blk.0.attn_v.weight', 4, WIDTH),
  tensor('blk.0.attn_output.weight', WIDTH, WIDTH),
  tensor('blk.0.ffn_norm.weight', WIDTH),
  tensor('blk.0.ffn_gate.weight', 16, WIDTH),
  tensor('blk.0.ffn_up.weight', 16, WIDTH),
  tensor('blk.0.ffn_down.weight', WIDTH, 16),
];
const { signal } = new AbortController();

async function openBytes(bytes: Uint8Array) {
  const path = join(await tempDir(), 'model.gguf');
  await writeFile(path, bytes);
  const checkpoint = await openGguf(path, { signal });
  await checkpoint.close();
  return checkpoint;
}
const refused = (bytes: Uint8Array, code: string, message?: RegExp) =>
  assert.rejects(openBytes(bytes), message ? { code, message } : { code });
const withKeys = (changes: Record<string, GgufValue>) => ggufFile({ ...METADATA, ...changes }, TENSORS);
const withTensor = (name: string, change: Partial<GgufFileTensor>) =>
  ggufFile(
    METADATA,
    TENSORS.map((one) => (one.name === name ? { ...one, ...change } : one)),
  );
const without = (key: string) =>
  ggufFile(Object.fromEntries(Object.entries(METADATA).filter(([name]) => name !== key)), TENSORS);

describe('a GGUF file', () => {
  it('is taken where everything is right', async () => {
    const { texts, tensors } = await openBytes(ggufFile(METADATA, TENSORS));
    assert.equal(tensors.length, TENSORS.length);
    assert.equal(JSON.parse(texts.config).rms_norm_eps, 1e-5);
  });

  it('may have a token __proto__, and tokens that look like numbers', async () => {
    const tokens = TOKENS.map((token, i) => (i === 257 ? '__proto__' : i === 258 ? '7' : token));
    const { texts } = await openBytes(
      withKeys({ 'tokenizer.ggml.tokens': { texts: tokens }, 'tokenizer.ggml.merges': { texts: [] } }),
    );
    assert.match(texts.tokenizer, /"__proto__":257,"7":258\}/);
  });

  it('CHECKPOINT: no GGUF at all, empty, or cut within its header', async () => {
    const file = ggufFile(METADATA, TENSORS);
    for (const bytes of [new Uint8Array(0), utf8ToBytes('GGUF'), utf8ToBytes('not one of them'.repeat(99))])
      await refused(bytes, 'CHECKPOINT');
    for (const length of [12, 30, 200, 2_000]) await refused(file.subarray(0, length), 'CHECKPOINT');
    await refused(ggufFile(METADATA, TENSORS, { version: 9 }), 'CHECKPOINT', /version/);
  });

  it('CHECKPOINT: cut within its tensors', () =>
    refused(ggufFile(METADATA, TENSORS).subarray(0, -64), 'CHECKPOINT', /ends at byte \d+, the file at/));

  it('CHECKPOINT: counts beyond all bounds, in bounded time', async () => {
    const from = Date.now();
    await refused(ggufFile(METADATA, TENSORS, { tensors: 2n ** 60n }), 'CHECKPOINT', /Tensor count/);
    await refused(ggufFile(METADATA, TENSORS, { keys: 2n ** 60n }), 'CHECKPOINT', /KV/);
    await refused(ggufFile(METADATA, TENSORS, { tensors: 9_000_000n }), 'CHECKPOINT');
    const endless = concatBytes(text('a'), u32(9), u32(8), u64(2n ** 62n));
    await refused(
      concatBytes(utf8ToBytes('GGUF'), u32(3), u64(0), u64(1), endless),
      'CHECKPOINT',
      /array length/,
    );
    assert.ok(Date.now() - from < 30_000);
  });

  it('CHECKPOINT: offsets outside the file, or on bytes of another tensor', async () => {
    const last = 'blk.0.ffn_down.weight';
    await refused(withTensor(last, { offset: 2 ** 40 }), 'CHECKPOINT', /ends at byte/);
    await refused(withTensor(last, { offset: 2 ** 52 }), 'CHECKPOINT', /ends at byte/);
    await refused(withTensor(last, { offset: 0 }), 'CHECKPOINT', /overlap/);
    await refused(ggufFile(METADATA, [...TENSORS, TENSORS[1] as GgufFileTensor]), 'CHECKPOINT', /twice/);
  });

  it('refuses impossible shapes before anything is allocated', async () => {
    const norm = 'output_norm.weight';
    await refused(withTensor(norm, { shape: [0] }), 'CHECKPOINT', /impossible shape/);
    await refused(withTensor(norm, { shape: [2 ** 31, 2 ** 31] }), 'CHECKPOINT', /impossible shape|ends at/);
    await refused(withTensor(norm, { shape: Array(9).fill(1) }), 'CHECKPOINT');
    await refused(withTensor(norm, { shape: [9] }), 'CHECKPOINT');
    await refused(
      withTensor(norm, { shape: [7] }),
      'WEIGHTS_SHAPE',
      /model\.norm\.weight \(\[7\] for \[8\]\)/,
    );
    await refused(withTensor('blk.0.attn_q.weight', { shape: [2, 32] }), 'WEIGHTS_SHAPE', /2 heads/);
  });

  it('WEIGHTS_DTYPE: names the kind of quantisation, and those that are supported', async () => {
    const kinds = /is stored as Q4_K; supported are F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q6_K/;
    await refused(withTensor('blk.0.ffn_up.weight', { type: 12 }), 'WEIGHTS_DTYPE', kinds);
    await refused(withTensor('blk.0.ffn_up.weight', { type: 4_000 }), 'WEIGHTS_DTYPE', /type 4000/);
    await refused(withTensor('blk.0.ffn_up.weight', { type: 8 }), 'CHECKPOINT', /multiple of 32/);
  });

  it('WEIGHTS_NAMES: missing and unknown tensors', async () => {
    await refused(
      ggufFile(
        METADATA,
        TENSORS.filter(({ name }) => !name.includes('ffn_up')),
      ),
      'WEIGHTS_NAMES',
      /missing: model\.layers\.0\.mlp\.up_proj\.weight/,
    );
    await refused(
      ggufFile(METADATA, [...TENSORS, tensor('blk.0.ffn_gate_exps.weight', 4)]),
      'WEIGHTS_NAMES',
      /not of this model: blk\.0\.ffn_gate_exps\.weight/,
    );
    await refused(ggufFile(METADATA, TENSORS.slice(1)), 'WEIGHTS_NAMES', /token_embd/);
  });

  it('CONFIG_UNSUPPORTED: networks, stretchings and experts that are not built', async () => {
    const cases: [Record<string, GgufValue>, RegExp][] = [
      [{ 'general.architecture': { text: 'gemma3' } }, /one of gpt2, llama, qwen2, qwen3, got "gemma3"/],
      [{ 'llama.rope.scaling.type': { text: 'yarn' } }, /rope\.scaling\.type.*yarn/],
      [{ 'llama.expert_count': { u32: 8 } }, /experts/],
      [{ 'llama.rope.dimension_count': { u32: 2 } }, /dimension_count/],
      [{ 'llama.embedding_length': { u32: 2 ** 31 } }, /hidden_size/],
      [{ 'llama.block_count': { u32: 4_000_000_000 } }, /num_hidden_layers/],
    ];
    for (const [changes, message] of cases) await refused(withKeys(changes), 'CONFIG_UNSUPPORTED', message);
    const odd = tensor('rope_freqs.weight', 2);
    await refused(
      ggufFile(METADATA, [...TENSORS, { ...odd, bytes: new Uint8Array(new Float32Array([3, 7]).buffer) }]),
      'CONFIG_UNSUPPORTED',
      /rope_freqs\.weight.*Llama 3/,
    );
  });

  it('CHECKPOINT: metadata that is missing or of another type, by its key', async () => {
    const keys = [
      'general.architecture',
      'llama.block_count',
      'tokenizer.ggml.tokens',
      'tokenizer.ggml.merges',
    ];
    for (const key of keys) {
      await refused(
        without(key),
        'CHECKPOINT',
        new RegExp(`${key.replaceAll('.', '\\.')}: expected .*, got nothing`),
      );
      await refused(withKeys({ [key]: { flag: true } }), 'CHECKPOINT', new RegExp(key));
    }
    await refused(withKeys({ 'split.count': { u32: 3 } }), 'CHECKPOINT', /merge/);
    await refused(withKeys({ 'llama.attention.head_count': { u32: 0 } }), 'WEIGHTS_SHAPE');
  });

  it('TOKENIZER: kinds that cannot be rebuilt, by name; lists that do not fit', async () => {
    const cases: [Record<string, GgufValue>, RegExp][] = [
      [{ 'tokenizer.ggml.model': { text: 'bert' } }, /gpt2 .* or llama .*, got "bert"/],
      [
        { 'tokenizer.ggml.pre': { text: 'deepseek-llm' } },
        /gpt-2, llama-bpe, qwen2, smollm, got "deepseek-llm"/,
      ],
      [{ 'tokenizer.ggml.pre': { text: '__proto__' } }, /__proto__/],
      [{ 'tokenizer.ggml.token_type': { i32s: [1] } }, /types/],
      [{ 'tokenizer.ggml.tokens': { texts: [] } }, /tokens/],
      [{ 'tokenizer.ggml.eos_token_id': { u32: 9_999 } }, /no token 9999/],
      [{ 'tokenizer.ggml.model': { text: 'llama' }, 'tokenizer.ggml.scores': { f32s: [0] } }, /scores/],
    ];
    for (const [changes, message] of cases) await refused(withKeys(changes), 'TOKENIZER', message);
    const long = TOKENS.map((token, i) => (i === 258 ? 'x'.repeat(100_000) : token));
    const scores = { 'tokenizer.ggml.scores': { f32s: TOKENS.map(() => 0) } };
    const changes = { 'tokenizer.ggml.model': { text: 'llama' }, 'tokenizer.ggml.tokens': { texts: long } };
    await refused(withKeys({ ...changes, ...scores }), 'TOKENIZER', /at most 512 characters/);
  });

  it('stops at the signal', async () => {
    const path = join(await tempDir(), 'model.gguf');
    await writeFile(path, ggufFile(METADATA, TENSORS));
    await assert.rejects(openGguf(path, { signal: AbortSignal.abort(new Error('stopped')) }), /stopped/);
  });
});
