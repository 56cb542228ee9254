import type { ChatEvent, ChatMessage, ChatRequest } from '#shared/api/chat-schemas.ts';
import { tokenRate } from '../net/chat-stream.ts';
import { formatCount, formatDuration, formatPlural } from '../text/format.ts';

/** One prompt and its answer. */
export interface ChatTurn {
  readonly id: number;
  readonly prompt: string;
  readonly text: string;
  readonly state: 'streaming' | 'done' | 'stopped' | 'failed';
  readonly startedAtMs: number;
  readonly firstTokenAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly done: (ChatEvent & { type: 'done' }) | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface ChatSettings {
  maxTokens: number;
  temperature: number;
  seed: number | null;
}

export const DEFAULT_SETTINGS: Readonly<ChatSettings> = { maxTokens: 64, temperature: 0.8, seed: null };
const MAX_TOKENS = 1024;
const MAX_TEMPERATURE = 5;
const MAX_SEED = 0xffffffff;
/** What is sent of a conversation, far below what the API takes: the newest of it. */
const MAX_SENT_TURNS = 50;
const MAX_SENT_CHARS = 20_000;

let turnsStarted = 0;

export function startTurn(prompt: string, nowMs: number): ChatTurn {
  turnsStarted++;
  return {
    id: turnsStarted,
    prompt,
    text: '',
    state: 'streaming',
    startedAtMs: nowMs,
    firstTokenAtMs: null,
    endedAtMs: null,
    done: null,
    error: null,
  };
}

export function withToken(turn: ChatTurn, token: string, nowMs: number): ChatTurn {
  return { ...turn, text: turn.text + token, firstTokenAtMs: turn.firstTokenAtMs ?? nowMs };
}

export function finished(turn: ChatTurn, done: ChatEvent & { type: 'done' }, nowMs: number): ChatTurn {
  return { ...turn, state: 'done', done, endedAtMs: nowMs };
}

export function failed(turn: ChatTurn, code: string, message: string): ChatTurn {
  return { ...turn, state: 'failed', error: { code, message } };
}

export function stopped(turn: ChatTurn): ChatTurn {
  return { ...turn, state: 'stopped' };
}

/**
 * The message for `/ws/chat`: the text after the turns before it that have an answer. A setting out of range, as a
 * number field lets one type it, takes its nearest value.
 */
export function requestOf(before: readonly ChatTurn[], prompt: string, settings: ChatSettings): ChatRequest {
  const { maxTokens, temperature, seed } = settings;
  return {
    messages: [...history(before, MAX_SENT_CHARS - prompt.length), { role: 'user', content: prompt }],
    max_tokens: Math.round(clamp(maxTokens, 1, MAX_TOKENS)),
    temperature: clamp(temperature, 0, MAX_TEMPERATURE),
    ...(seed === null || !Number.isFinite(seed) ? {} : { seed: Math.round(clamp(seed, 0, MAX_SEED)) }),
  };
}

function history(turns: readonly ChatTurn[], room: number): ChatMessage[] {
  const sent: ChatMessage[] = [];
  let chars = 0;
  for (const { prompt, text } of turns
    .filter((turn) => turn.text !== '')
    .slice(-MAX_SENT_TURNS)
    .reverse()) {
    chars += prompt.length + text.length;
    if (chars > room) break;
    sent.unshift({ role: 'user', content: prompt }, { role: 'assistant', content: text });
  }
  return sent;
}

/** How the answer ended, and by which weights it was given. */
export function footnoteOf(turn: ChatTurn): string {
  if (turn.state === 'stopped') return 'Stopped.';
  if (turn.state === 'failed') return turn.text === '' ? 'No answer.' : 'The answer is not whole.';
  const { done } = turn;
  if (!done) return '';
  const took = (turn.endedAtMs ?? turn.startedAtMs) - turn.startedAtMs;
  const rate = tokenRate(done.tokens, took);
  const speed =
    rate === null ? '' : ` in ${formatDuration(took)}, ${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s`;
  return `${formatPlural(done.tokens, 'token')}${speed}; weights of block B ${formatCount(done.height)}`;
}

function clamp(value: number, min: number, max: number): number {
  return Number.isFinite(value) ? Math.min(max, Math.max(min, value)) : min;
}
