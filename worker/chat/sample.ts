import type { Uniform } from '#shared/weights/random.ts';

/**
 * Draws a token from logits [V] at a temperature, among the `topK` likeliest where given. Temperature 0
 * takes the likeliest, the lowest id among equals. Logits that are not finite numbers are never drawn;
 * if there is no other, the answer is token 0.
 */
export function sampleToken(
  logits: Float32Array,
  how: { readonly temperature: number; readonly topK?: number; readonly uniform: Uniform },
): number {
  const { temperature, topK = logits.length, uniform } = how;
  const best = likeliest(logits);
  if (temperature <= 0) return best;
  const floor = topK < logits.length ? kthLargest(logits, topK) : Number.NEGATIVE_INFINITY;
  const peak = logits[best]!;
  // Dividing the distance to the peak keeps exp in (0, 1] at any temperature.
  const weightOf = (logit: number) =>
    Number.isFinite(logit) && logit >= floor ? Math.exp((logit - peak) / temperature) : 0;
  let total = 0;
  for (const logit of logits) total += weightOf(logit);
  let left = uniform() * total;
  for (let token = 0; token < logits.length; token++) {
    const weight = weightOf(logits[token]!);
    left -= weight;
    if (weight > 0 && left < 0) return token;
  }
  return best; // rounding left a remainder behind the last token
}

function likeliest(logits: Float32Array): number {
  let best = -1;
  for (let i = 0; i < logits.length; i++) {
    if (Number.isFinite(logits[i]!) && (best < 0 || logits[i]! > logits[best]!)) best = i;
  }
  return Math.max(0, best);
}

function kthLargest(logits: Float32Array, k: number): number {
  const finite = logits.filter(Number.isFinite).sort();
  return finite[Math.max(0, finite.length - Math.max(1, k))] ?? Number.NEGATIVE_INFINITY;
}
