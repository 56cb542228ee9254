import type { Tokenizer } from '#shared/text/tokenizer.ts';

/** Characters encoded at once: bounds the tokenizer's temporary lists on texts of many megabytes. */
const PIECE_CHARS = 65_536;

/**
 * Documents → one sequence of tokens, each document followed by the end-of-text token if there is one.
 * 16 bits per token where the vocabulary allows it.
 */
export function encodeDocuments(
  tokenizer: Pick<Tokenizer, 'encode' | 'endOfText' | 'vocabSize'>,
  documents: readonly string[],
): Uint16Array | Uint32Array {
  const parts: number[][] = [];
  for (const document of documents) {
    for (const piece of textPieces(document)) parts.push(tokenizer.encode(piece));
    if (tokenizer.endOfText !== null) parts.push([tokenizer.endOfText]);
  }
  return joinTokens(parts, tokenizer.vocabSize);
}

/** 16 bits per token where the vocabulary allows it. */
export function joinTokens(
  parts: readonly (readonly number[])[],
  vocabSize: number,
): Uint16Array | Uint32Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const tokens = vocabSize <= 65_536 ? new Uint16Array(length) : new Uint32Array(length);
  let at = 0;
  for (const part of parts) {
    tokens.set(part, at);
    at += part.length;
  }
  return tokens;
}

/** Cuts before the first blank of a run of blanks, where byte-level BPE always starts a new token. */
export function* textPieces(text: string): Generator<string> {
  let start = 0;
  while (text.length - start > PIECE_CHARS) {
    const cut = /\P{White_Space}\p{White_Space}/gu;
    cut.lastIndex = start + PIECE_CHARS - 1;
    const found = cut.exec(text);
    if (!found) break;
    yield text.slice(start, found.index + 1);
    start = found.index + 1;
  }
  if (start < text.length) yield text.slice(start);
}
