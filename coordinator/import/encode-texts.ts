import { runInThread } from '#coordinator/import/thread.ts';

const THREAD_URL = new URL('./encode-thread.mjs', import.meta.url);
/** Some megabytes of text take seconds; a pattern that backtracks without end is stopped. */
const DEADLINE_MS = 120_000;

export interface EncodedTexts {
  /** One more than the tokenizer's highest id. */
  readonly vocabSize: number;
  /** Per text its tokens, each document with its end-of-text token. */
  readonly tokens: readonly (Uint16Array | Uint32Array)[];
}

/** Encodes texts of several documents each with a tokenizer that nobody has looked at. TOKENIZER. */
export function encodeTexts(
  tokenizer: { readonly tokenizer: string; readonly tokenizerConfig: string | null },
  texts: readonly (readonly string[])[],
  { signal, deadlineMs = DEADLINE_MS }: { signal: AbortSignal; deadlineMs?: number },
): Promise<EncodedTexts> {
  return runInThread<EncodedTexts>({
    url: THREAD_URL,
    data: {
      tokenizerJson: tokenizer.tokenizer,
      tokenizerConfigJson: tokenizer.tokenizerConfig ?? '{}',
      texts,
    },
    deadlineMs,
    signal,
    code: 'TOKENIZER',
    what: 'the tokenizer could not encode the validation text',
  });
}
