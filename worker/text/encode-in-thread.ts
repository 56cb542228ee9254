import { joinTokens, textPieces } from '#shared/text/documents.ts';
import { TEXT_THREAD_DEFAULTS, TextThread } from '#worker/text/text-thread.ts';
import type { ModelTexts } from '#worker/text/text-work.ts';

/** Of a piece of some ten thousand characters, which takes a small part of a second. */
const PIECE_MS = 60_000;

/**
 * The tokens of each list of documents, as `encodeDocuments` gives them, by a tokenizer that may be a stranger's.
 * TOKENIZER where it does not get done with them.
 */
export async function encodeInThread(
  tokenizer: Omit<ModelTexts, 'chatTemplate'>,
  lists: readonly (readonly string[])[],
): Promise<(Uint16Array | Uint32Array)[]> {
  const thread = new TextThread(
    { ...tokenizer, chatTemplate: '' },
    { ...TEXT_THREAD_DEFAULTS, workMs: PIECE_MS },
  );
  try {
    const encoded: (Uint16Array | Uint32Array)[] = [];
    for (const documents of lists) encoded.push(await encode(thread, documents));
    return encoded;
  } finally {
    await thread.close();
  }
}

async function encode(thread: TextThread, documents: readonly string[]): Promise<Uint16Array | Uint32Array> {
  const { endOfText, vocabSize } = await thread.facts();
  const parts: number[][] = [];
  for (const document of documents) {
    for (const piece of textPieces(document)) parts.push(await thread.encode(piece, { addSpecial: false }));
    if (endOfText !== null) parts.push([endOfText]);
  }
  return joinTokens(parts, vocabSize);
}
