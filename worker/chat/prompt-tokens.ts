import type { ChatMessage, ChatRequest } from '#shared/api/chat-schemas.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { TextThread } from '#worker/text/text-thread.ts';

type Texts = Pick<TextThread, 'encode' | 'render'>;

/**
 * The tokens of a question. Of a conversation that does not fit into `room` tokens the oldest messages are left
 * out, up to one of the user's; what stands before the first of them, as a system message does, is kept.
 */
export async function promptTokens(texts: Texts, question: ChatRequest, room: number): Promise<number[]> {
  const { prompt, messages = [] } = question;
  const tokens =
    prompt === undefined
      ? await newestThatFit(texts, messages, room)
      : await texts.encode(prompt, { addSpecial: true });
  must(tokens.length > 0, 'BAD_REQUEST', 'prompt: expected text that the tokenizer knows');
  return tokens;
}

async function newestThatFit(texts: Texts, messages: readonly ChatMessage[], room: number) {
  const starts = messages.flatMap(({ role }, i) => (role === 'user' ? [i] : []));
  const head = messages.slice(0, starts[0] ?? messages.length);
  const from = async (start: number) =>
    texts.encode(await texts.render([...head, ...messages.slice(start)]), { addSpecial: false });
  let tokens = await from(head.length);
  if (tokens.length <= room || starts.length < 2) return tokens;
  // The first start that fits, by halving; the last one where none does.
  let [low, high] = [1, starts.length - 1];
  tokens = await from(starts[high] as number);
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const tried = await from(starts[middle] as number);
    if (tried.length > room) low = middle + 1;
    else {
      high = middle;
      tokens = tried;
    }
  }
  return tokens;
}
