import { randomUUID } from 'node:crypto';
import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import type { ChatEnd } from '#coordinator/chat/chat.ts';
import { parse } from '#coordinator/http/parse.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { type CompletionRequest, completionRequestSchema } from '#shared/api/completions.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { type AllowanceRequest, allowanceSchema } from '#shared/protocol/allowance.ts';

const MAX_JSON_BYTES = 100_000;
/** A reader that is so far behind its answer is cut off. */
const MAX_BUFFERED_BYTES = 256 * 1024;

type ChatApi = Required<Pick<PoolApi, 'chat' | 'model'>>;

/** What all pieces of one answer have in common. */
interface Frame {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** `/v1/chat/completions` and `/v1/models`, as the clients of OpenAI's API know them. */
export function addCompletions(app: Express, api: ChatApi, requireJson: RequestHandler): void {
  app.get('/v1/models', async (_request, response) => {
    const { name, root } = await api.model();
    response.json({ object: 'list', data: [{ id: name, object: 'model', owned_by: 'pool', root }] });
  });
  const json = express.json({ limit: MAX_JSON_BYTES });
  app.post('/v1/chat/completions', requireJson, json, async (request, response) => {
    const asked = { ...parse(completionRequestSchema, request.body, 'body'), payment: paymentOf(request) };
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    if (response.closed) gone.abort();
    const { name } = await api.model();
    const id = `chatcmpl-${randomUUID()}`;
    const frame = { id, created: Math.floor(Date.now() / 1000), model: name };
    const answer = asked.stream ? streamed : whole;
    await answer(api, asked, { response, frame, gone });
  });
}

type Asked = CompletionRequest & { readonly payment: AllowanceRequest | undefined };

/**
 * An allowance as the key of OpenAI's clients: base64url of its JSON. Their other keys pay nothing, and are no fault
 * where nothing is to be paid.
 */
function paymentOf(request: Request): AllowanceRequest | undefined {
  const bearer = /^Bearer ([A-Za-z0-9_-]{1,4000})$/.exec(request.get('authorization') ?? '')?.[1];
  if (bearer === undefined) return undefined;
  try {
    return allowanceSchema.parse(JSON.parse(Buffer.from(bearer, 'base64url').toString()));
  } catch {
    return undefined;
  }
}

interface Exchange {
  readonly response: Response;
  readonly frame: Frame;
  readonly gone: AbortController;
}

async function whole(api: ChatApi, { question, payment }: Asked, { response, frame, gone }: Exchange) {
  let content = '';
  const end = await api.chat({ ...question, payment }, (piece) => (content += piece), gone.signal);
  if (response.writableEnded || gone.signal.aborted) return;
  const choice = {
    index: 0,
    message: { role: 'assistant', content },
    finish_reason: end.reason,
    logprobs: null,
  };
  response.json({ ...frame, object: 'chat.completion', choices: [choice], usage: usageOf(end) });
}

/** Server-sent events; nothing is sent before the first piece, so that a refusal has its status. */
async function streamed(api: ChatApi, asked: Asked, { response, frame, gone }: Exchange) {
  const send = (data: string) => {
    if (!response.headersSent)
      response.set({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' }).flushHeaders();
    if (response.writableLength > MAX_BUFFERED_BYTES) gone.abort();
    else response.write(`data: ${data}\n\n`);
  };
  const chunk = (more: object) =>
    send(JSON.stringify({ ...frame, object: 'chat.completion.chunk', ...more }));
  const piece = (delta: object, finish_reason: string | null) =>
    chunk({ choices: [{ index: 0, delta, finish_reason, logprobs: null }] });
  let first = true;
  const say = (content: string) => {
    piece(first ? { role: 'assistant', content } : { content }, null);
    first = false;
  };
  try {
    const end = await api.chat({ ...asked.question, payment: asked.payment }, say, gone.signal);
    if (gone.signal.aborted) return void response.destroy();
    piece(first ? { role: 'assistant', content: '' } : {}, reasonOf(end));
    if (asked.includeUsage) chunk({ choices: [], usage: usageOf(end) });
    send('[DONE]');
  } catch (error) {
    if (!response.headersSent) throw error;
    send(JSON.stringify({ error: PoolError.from(error).toObject() }));
  }
  response.end();
}

/** An answer that its worker ended for taking too long is, to a client, too long. */
function reasonOf({ reason }: ChatEnd): 'stop' | 'length' {
  return reason === 'stop' ? 'stop' : 'length';
}

/** Tokens of the prompt only where the worker has counted them. */
function usageOf({ tokens, promptTokens }: ChatEnd) {
  if (promptTokens === undefined) return { completion_tokens: tokens };
  return { prompt_tokens: promptTokens, completion_tokens: tokens, total_tokens: promptTokens + tokens };
}
