import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ChatMessage, chatRequestSchema } from '#shared/api/chat-schemas.ts';
import { promptTokens } from '#worker/chat/prompt-tokens.ts';

/** One token a letter; a prompt begins with token 1. */
function texts() {
  const calls = { rendered: 0 };
  return {
    calls,
    render: async (messages: readonly ChatMessage[]) => {
      calls.rendered += 1;
      return messages.map(({ content }) => content).join('');
    },
    encode: async (text: string, { addSpecial }: { addSpecial: boolean }) => {
      return [...(addSpecial ? [1] : []), ...Buffer.from(text)];
    },
  };
}

const said = (tokens: readonly number[]) => Buffer.from(tokens).toString();
const conversation = (...contents: string[]) =>
  contents.map((content, i) => ({ role: i % 2 === 0 ? ('user' as const) : ('assistant' as const), content }));

describe('promptTokens', () => {
  const ask = async (messages: readonly ChatMessage[], room: number) =>
    said(await promptTokens(texts(), chatRequestSchema.parse({ messages }), room));

  it('reads a prompt with the tokens that stand in front of one, and messages without', async () => {
    assert.deepEqual(await promptTokens(texts(), chatRequestSchema.parse({ prompt: 'ab' }), 1), [1, 97, 98]);
    assert.equal(await ask(conversation('ab'), 10), 'ab');
  });

  it('leaves out the oldest messages, as few as can be, up to one of the user', async () => {
    const messages = conversation('aa', 'bb', 'cc', 'dd', 'ee', 'ff', 'gg');
    const expected: Record<number, string> = {
      14: 'aabbccddeeffgg',
      13: 'ccddeeffgg',
      10: 'ccddeeffgg',
      9: 'eeffgg',
      5: 'gg',
      1: 'gg',
    };
    for (const [room, text] of Object.entries(expected))
      assert.equal(await ask(messages, Number(room)), text, `${room} tokens`);
  });

  it('keeps the system message', async () => {
    const messages = [{ role: 'system', content: 'S' } as const, ...conversation('aa', 'bb', 'cc')];
    assert.equal(await ask(messages, 7), 'Saabbcc');
    assert.equal(await ask(messages, 6), 'Scc');
  });

  it('looks for the place by halving', async () => {
    const counted = texts();
    const messages = conversation(...Array.from({ length: 199 }, () => 'a'));
    const tokens = await promptTokens(counted, chatRequestSchema.parse({ messages }), 31);
    assert.equal(tokens.length, 31);
    assert.ok(counted.calls.rendered <= 9, `${counted.calls.rendered} renderings`);
  });

  it('takes a conversation without a user as it is', async () => {
    assert.equal(await ask([{ role: 'system', content: 'abc' }], 1), 'abc');
  });

  it('BAD_REQUEST: text of no token', async () => {
    const nothing = { ...texts(), encode: async () => [] };
    const question = chatRequestSchema.parse({ prompt: 'x' });
    await assert.rejects(promptTokens(nothing, question, 9), { code: 'BAD_REQUEST' });
  });
});
