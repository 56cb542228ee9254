import { must } from '#shared/errors/pool-error.ts';

/** Each way to cut a token is tried: the longest of published vocabularies has some hundred characters. */
const MAX_TOKEN_LENGTH = 512;

/**
 * The merges that make byte-pair encoding choose as SentencePiece does: of all pairs of tokens that join to a
 * token, those first whose token has the higher score. TOKENIZER for tokens that are too long.
 */
export function sentencePieceMerges(tokens: readonly string[], scores: readonly number[]): string[][] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges: { left: number; right: number; score: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    must(
      token.length <= MAX_TOKEN_LENGTH,
      'TOKENIZER',
      `token ${id}: expected at most ${MAX_TOKEN_LENGTH} characters, got ${token.length}`,
    );
    for (let cut = 1; cut < token.length; cut++) {
      const left = ids.get(token.slice(0, cut));
      const right = left === undefined ? undefined : ids.get(token.slice(cut));
      if (left !== undefined && right !== undefined)
        merges.push({ left, right, score: scores[id] as number });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  return merges.map(({ left, right }) => [tokens[left] as string, tokens[right] as string]);
}
