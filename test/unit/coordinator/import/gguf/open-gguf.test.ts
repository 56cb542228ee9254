import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { openGguf } from '#coordinator/import/gguf/open-gguf.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { describeCheckpoint } from '#test/conformance/checkpoint.ts';
import { repositoryPath } from '#test/helpers/repository.ts';

interface Expected {
  readonly config: Record<string, unknown> & { rope: Record<string, number | string> | null };
  readonly tensors: Record<string, { dtype: string; shape: number[]; sha256: string }>;
  readonly encoded: [text: string, ids: number[]][];
}
const FOLDER = repositoryPath('test/vectors/models/gguf');
const EXPECTED = JSON.parse(readFileSync(`${FOLDER}/expected.json`, 'utf8')) as Record<string, Expected>;
const { signal } = new AbortController();
const open = (name: string) => openGguf(`${FOLDER}/${name}.gguf`, { signal });

for (const [name, expected] of Object.entries(EXPECTED)) {
  describe(`${name}.gguf, made by another implementation`, () => {
    describeCheckpoint(() => open(name));

    it('gives the tensors of the checkpoint it was made of, to the last bit', async () => {
      const checkpoint = await open(name);
      const found: Expected['tensors'] = {};
      for (const tensor of checkpoint.tensors) {
        const sha = createHash('sha256');
        for await (const piece of tensor.read()) sha.update(piece);
        const { dtype, shape } = tensor;
        found[tensor.name] = { dtype, shape: [...shape], sha256: sha.digest('hex') };
      }
      await checkpoint.close();
      assert.deepEqual(found, expected.tensors);
    });

    it('gives a configuration that says the same', async () => {
      const { texts, close } = await open(name);
      await close();
      const config = JSON.parse(texts.config);
      const { rope, ...rest } = expected.config;
      for (const [key, value] of Object.entries(rest))
        if (key in config) assert.deepEqual(config[key], value, key);
      assert.equal(config.model_type, rest.model_type);
      if (rope === null) return;
      assert.equal(config.rope_theta, rope.rope_theta);
      const { rope_theta: _, ...scaling } = rope;
      const found = config.rope_scaling ?? { rope_type: 'default' };
      for (const [key, value] of Object.entries(scaling)) assert.equal(found[key], value, key);
    });

    it('cuts texts into the same tokens, and back', async () => {
      const { texts, close } = await open(name);
      await close();
      const tokenizer = Tokenizer.fromJson(texts.tokenizer, texts.tokenizerConfig ?? '{}');
      for (const [text, ids] of expected.encoded) {
        assert.deepEqual(tokenizer.encode(text), ids, text);
        if (!text.includes('<|end|>')) assert.equal(tokenizer.decode(ids).trim(), text.normalize().trim());
      }
    });
  });
}

describe('the texts of a GGUF file', () => {
  it('name the tokens that begin and end a text', async () => {
    const { texts, close } = await open('llama-f16');
    await close();
    assert.deepEqual(JSON.parse(texts.generationConfig ?? ''), { bos_token_id: 1, eos_token_id: 2 });
    const tokenizerConfig = JSON.parse(texts.tokenizerConfig ?? '');
    assert.deepEqual([tokenizerConfig.bos_token, tokenizerConfig.eos_token], ['<s>', '</s>']);
    assert.equal(texts.chatTemplate, null);
  });

  it('have the chat template byte for byte', async () => {
    const { texts, close } = await open('llama3-q8_0');
    await close();
    assert.equal(texts.chatTemplate, '{% for m in messages %}{{ m.content }}<|end|>{% endfor %}');
  });
});
