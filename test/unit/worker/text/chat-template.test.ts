import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readVectors } from '#test/helpers/vectors.ts';
import { type ChatMessage, ChatTemplate } from '#worker/text/chat-template.ts';
import { strftime } from '#worker/text/strftime.ts';

interface Vectors {
  readonly tokens: Record<string, string>;
  readonly templates: Record<string, string>;
  readonly cases: readonly {
    readonly name: string;
    readonly messages: ChatMessage[];
    readonly rendered: string | { readonly refusal: string };
  }[];
}

const NOW = new Date(2026, 6, 4, 15, 6, 7);
const { tokens, templates, cases } = readVectors<Vectors>('chat-templates');
const HELLO = [{ role: 'user', content: 'hello' }];

describe('ChatTemplate', () => {
  for (const [name, text] of Object.entries(templates))
    it(`renders as transformers does: ${name}`, () => {
      const template = new ChatTemplate(text, JSON.stringify(tokens));
      for (const { messages, rendered } of cases.filter((one) => one.name === name)) {
        const render = () => template.render(messages, NOW);
        if (typeof rendered === 'string') assert.equal(render(), rendered);
        else
          assert.throws(render, (error: { code: string; message: string }) => {
            return error.code === 'CHAT_TEMPLATE' && error.message.includes(rendered.refusal);
          });
      }
    });

  it('takes special tokens as texts or objects, and leaves out those that there are not', () => {
    const config = '{"bos_token":{"content":"<b>"},"eos_token":"<e>","pad_token":null,"other":1}';
    const text = '{{ bos_token }}{{ eos_token }}{{ pad_token }}';
    assert.equal(new ChatTemplate(text, config).render(HELLO, NOW), '<b><e>');
  });

  it('writes the date as C does', () => {
    assert.equal(
      strftime(NOW, '%d %b %Y, %A %B %y %H:%M:%S %I%p %% %q'),
      '04 Jul 2026, Saturday July 26 15:06:07 03PM % %q',
    );
  });

  it('keeps the messages as they are, whatever the template does', () => {
    const messages = [{ role: 'user', content: 'x' }];
    new ChatTemplate('{% set messages = [] %}{% set m = 1 %}').render(messages, NOW);
    assert.deepEqual(messages, [{ role: 'user', content: 'x' }]);
  });
});
