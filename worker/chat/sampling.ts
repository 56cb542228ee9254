import type { Uniform } from '#shared/weights/random.ts';

/** How the next token is drawn from logits, with the meaning and the order of transformers' logits processors. */
export interface Sampling {
  /** Logits are divided by it; 0 takes the likeliest token each time. */
  readonly temperature: number;
  /** Only the k likeliest tokens; 0 keeps all. */
  readonly topK: number;
  /** Only the fewest likeliest tokens whose probabilities sum to at least this; 1 keeps all. */
  readonly topP: number;
  /** Only tokens at least so likely as this part of the likeliest; 0 keeps all. */
  readonly minP: number;
  /** Above 1, tokens that stand in the text become less likely (Keskar et al. 2019); 1 changes nothing. */
  readonly repetitionPenalty: number;
}

const NEVER = Number.NEGATIVE_INFINITY;

/** Draws a token after the tokens `seen` (prompt and answer). Of logits [V], none finite: token 0. */
export function sampleToken(
  logits: Float32Array,
  how: Sampling & { readonly seen: Iterable<number>; readonly uniform: Uniform },
): number {
  const scores = penalised(logits, how.seen, how.repetitionPenalty);
  return how.temperature <= 0 ? likeliest(scores) : draw(restricted(scores, how), how.uniform);
}

/** A copy of the logits [V], in which each token that was seen is less likely; what is not finite is −∞. */
export function penalised(logits: Float32Array, seen: Iterable<number>, penalty: number): Float32Array {
  const scores = logits.map((logit) => (Number.isFinite(logit) ? logit : NEVER));
  if (penalty === 1) return scores;
  for (const token of new Set(seen)) {
    const score = scores[token]!;
    scores[token] = score < 0 ? score * penalty : score / penalty;
  }
  return scores;
}

/** Scores [V] over the temperature, −∞ for the tokens that may not be drawn. Changes `scores`. */
export function restricted(scores: Float32Array, how: Omit<Sampling, 'repetitionPenalty'>): Float32Array {
  const { temperature, topK, topP, minP } = how;
  const peak = scores[likeliest(scores)]!;
  // From the peak, so that no temperature divides into overflow.
  for (let i = 0; i < scores.length; i++) scores[i] = (scores[i]! - peak) / temperature;
  if (topK > 0 && topK < scores.length) keepFrom(scores, kthLargest(scores, topK));
  if (topP < 1) keepFrom(scores, nucleusFloor(scores, topP));
  if (minP > 0) keepFrom(scores, Math.log(minP));
  return scores;
}

/** Draws by the softmax of scores [V] whose peak is 0. */
function draw(scores: Float32Array, uniform: Uniform): number {
  let total = 0;
  for (const score of scores) total += Math.exp(score);
  let left = uniform() * total;
  for (let token = 0; token < scores.length; token++) {
    const weight = Math.exp(scores[token]!);
    left -= weight;
    if (weight > 0 && left < 0) return token;
  }
  return likeliest(scores); // rounding left a remainder behind the last token, or nothing is finite
}

/** The lowest id among equals. */
function likeliest(scores: Float32Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}

/** Tokens that are as likely as the last one kept are kept with it. */
function keepFrom(scores: Float32Array, floor: number): void {
  for (let i = 0; i < scores.length; i++) if (scores[i]! < floor) scores[i] = NEVER;
}

function kthLargest(scores: Float32Array, k: number): number {
  return scores.slice().sort().at(-k)!;
}

/** Score of the least likely token of the nucleus (Holtzman et al. 2019), which is never empty. */
function nucleusFloor(scores: Float32Array, topP: number): number {
  const ascending = scores.slice().sort();
  let total = 0;
  for (const score of ascending) total += Math.exp(score);
  let tail = 0;
  for (let i = 0; i < ascending.length - 1; i++) {
    tail += Math.exp(ascending[i]!);
    if (tail > (1 - topP) * total) return ascending[i]!;
  }
  return ascending.at(-1)!;
}
