import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readRules } from '#coordinator/import/rules-file.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

async function rulesOf(text: string) {
  const path = join(await tempDir(), 'rules.json');
  await writeFile(path, text);
  return readRules(path);
}

describe('rules of one’s own', () => {
  it('are a list of names and texts', async () => {
    const rules = [{ name: 'honesty', text: 'It says what it knows.' }];
    assert.deepEqual(await rulesOf(JSON.stringify(rules)), rules);
  });

  it('OPTION: anything else', async () => {
    const wrong = ['', '{}', '[]', '[1]', '[{"name":"a"}]', '[{"name":"","text":"b"}]'];
    for (const text of [...wrong, '[{"name":"a","text":"b","more":1}]', '[{"name":"a","text":7}]'])
      await assert.rejects(rulesOf(text), { code: 'OPTION', message: /JSON list of \{"name"/ }, text);
    await assert.rejects(readRules(join(await tempDir(), 'none')), { code: 'OPTION', message: /no file/ });
  });
});
