import { z } from 'zod';
import { attestationSchema } from '#shared/block/body.ts';
import { type CborValue, decodeCborAs, encodeCbor, zBytes, zInt, zUint } from '#shared/block/cbor.ts';
import { readU64be, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { checkMove, isFinal, SUBMISSION_STATES, type SubmissionState } from '#shared/lifecycle.ts';
import { BUCKET, bucketKey, bucketRange } from './keys.ts';
import { type KV, type KvOp, put } from './kv.ts';
import { WriteLock } from './write-lock.ts';

const state = z.enum(SUBMISSION_STATES as [SubmissionState, ...SubmissionState[]]);

const recordSchema = z.strictObject({
  id: zBytes(32),
  /** Order of arrival. */
  seq: zUint,
  state,
  history: z.array(z.strictObject({ state, at: zUint })),
  miner: zBytes(33),
  base: zBytes(32),
  meta: zBytes(32),
  /** From when on its bytes count as its miner's own, Unix milliseconds; else since it arrived. */
  claimedAt: zUint.optional(),
  /** Tensors that differed from the head at arrival, in name order. */
  tensors: z.array(
    z.strictObject({
      name: z.string(),
      dtype: z.enum(['F32', 'F16', 'BF16']),
      shape: z.array(zUint),
      payloadHash: zBytes(32),
      bytes: zUint,
      signature: zBytes(64),
    }),
  ),
  /** Evaluations that ended abnormally, since the last that did not. */
  crashes: zUint,
  /** Tokens through the model for all its judgements, and those that were saved. */
  cost: z
    .strictObject({ evaluations: zUint, tokens: zUint, savedByLooks: zUint, savedByTrust: zUint })
    .optional(),
  verdict: z
    .strictObject({
      /** Head and salt it was judged on. */
      head: zBytes(32),
      salt: zBytes(32),
      windows: z.array(zUint),
      attestations: z.array(attestationSchema),
      /** Addresses that the workers of the attestations work for, in their order. */
      owners: z.array(z.string()).optional(),
      /** Workers whose results the others did not find. */
      outvoted: z.array(zBytes(33)).optional(),
      /** Agreements in a row of the one worker who refused alone. */
      trusted: zUint.optional(),
      /** Why the looks ended: records of earlier versions do not say. */
      stop: z.enum(['clear', 'hopeless', 'not-finite']).optional(),
      passed: z.boolean(),
      meanBaseMicroNats: zInt,
      meanCandidateMicroNats: zInt,
      meanGainMicroNats: zInt,
      marginMicroNats: zInt,
      tokens: zUint,
      evaluationMs: zUint,
    })
    .optional(),
  blocks: z.strictObject({ first: zUint, last: zUint }).optional(),
  /** Base units to the submitter, decimal. */
  reward: z.string().optional(),
  error: z
    .strictObject({
      code: z.string(),
      message: z.string(),
      details: z.record(z.string(), z.union([z.string(), zInt, z.boolean(), z.null()])),
    })
    .optional(),
});

export type SubmissionRecord = Readonly<z.infer<typeof recordSchema>>;
export type SubmittedPayload = SubmissionRecord['tensors'][number];
export type EvaluationCost = NonNullable<SubmissionRecord['cost']>;
export type StoredVerdict = NonNullable<SubmissionRecord['verdict']>;

/** What changes with a move, and the one state it may start from, where only one is right. */
export type StateChange = Partial<Pick<SubmissionRecord, 'verdict' | 'error' | 'crashes' | 'cost'>> & {
  readonly from?: SubmissionState;
};

export type StateListener = (record: SubmissionRecord) => void;

/**
 * Every submission the pool acknowledged, and its state. The pending ones are held in memory; the rest is read when
 * asked for. A move is durable before anybody hears of it.
 */
export class Submissions {
  readonly #kv: KV;
  readonly #now: () => number;
  readonly #pending = new Map<string, SubmissionRecord>();
  readonly #counts = new Map<SubmissionState, number>();
  readonly #listeners = new Set<StateListener>();
  readonly #turns = new WriteLock();
  #nextSeq = 0;

  private constructor(kv: KV, now: () => number) {
    this.#kv = kv;
    this.#now = now;
  }

  static async open(kv: KV, now: () => number): Promise<Submissions> {
    const submissions = new Submissions(kv, now);
    for await (const [, value] of kv.entries(bucketRange(BUCKET.submission)))
      submissions.#remember(undefined, decodeRecord(value));
    for await (const [key] of kv.entries({ ...bucketRange(BUCKET.submissionOrder), reverse: true, limit: 1 }))
      submissions.#nextSeq = Number(readU64be(key, 1)) + 1;
    return submissions;
  }

  /** Called after each durable move. */
  onState(listener: StateListener): void {
    this.#listeners.add(listener);
  }

  /** Those not in a final state, in order of arrival. */
  pending(): SubmissionRecord[] {
    return [...this.#pending.values()].sort((a, b) => a.seq - b.seq);
  }

  /** How many ever reached, and now are in, each state. */
  counts(): Record<string, number> {
    return Object.fromEntries(SUBMISSION_STATES.map((s) => [s, this.#counts.get(s) ?? 0]));
  }

  async get(id: Uint8Array): Promise<SubmissionRecord | undefined> {
    const pending = this.#pending.get(toHex(id));
    if (pending) return pending;
    const value = await this.#kv.get(bucketKey(BUCKET.submission, id));
    return value && decodeRecord(value);
  }

  /** Newest first. */
  async list(filter: { state?: SubmissionState | undefined; limit: number }): Promise<SubmissionRecord[]> {
    const out: SubmissionRecord[] = [];
    for await (const [, id] of this.#kv.entries({ ...bucketRange(BUCKET.submissionOrder), reverse: true })) {
      const record = await this.get(id);
      if (record && (filter.state === undefined || record.state === filter.state)) out.push(record);
      if (out.length >= filter.limit) break;
    }
    return out;
  }

  /** Registers a new submission in state `received`; durable when it resolves. */
  async add(
    content: Pick<SubmissionRecord, 'id' | 'miner' | 'base' | 'meta' | 'claimedAt' | 'tensors'>,
  ): Promise<SubmissionRecord> {
    const record: SubmissionRecord = {
      ...content,
      seq: this.#nextSeq++,
      state: 'received',
      history: [{ state: 'received', at: this.#now() }],
      crashes: 0,
    };
    await this.#kv.batch([orderOp(record), recordOp(record)], { durable: true });
    this.#publish(undefined, record);
    return record;
  }

  /** Moves a submission on, durably. STATE where the life cycle does not allow it. */
  async move(
    id: Uint8Array,
    to: SubmissionState,
    { from, ...change }: StateChange = {},
  ): Promise<SubmissionRecord> {
    // One after the other: two moves at once would both start from the same record, and one of them be lost.
    return this.#turns.run(async () => {
      const before = this.#pendingRecord(id);
      must(
        from === undefined || before.state === from,
        'STATE',
        () => `expected submission ${toHex(id)} to be ${from}, it is ${before.state}`,
      );
      const after = moved({ ...before, ...change }, to, this.#now());
      await this.#kv.batch([recordOp(after)], { durable: true });
      this.#publish(before, after);
      return after;
    });
  }

  /** The ops that mark a submission as committed and paid, for the commit's batch; `announce` follows it. */
  prepareCommitted(
    id: Uint8Array,
    result: { blocks: { first: number; last: number }; reward: string; at: number },
  ): { ops: KvOp[]; announce(): void } {
    const before = this.#pendingRecord(id);
    const committed = moved(
      { ...before, blocks: result.blocks, reward: result.reward },
      'committed',
      result.at,
    );
    const paid = moved(committed, 'paid', result.at);
    return {
      ops: [recordOp(paid)],
      announce: () => {
        this.#publish(before, committed);
        this.#publish(committed, paid);
      },
    };
  }

  #pendingRecord(id: Uint8Array): SubmissionRecord {
    const record = this.#pending.get(toHex(id));
    must(record, 'STATE', () => `submission ${toHex(id)} is not pending`);
    return record;
  }

  #publish(before: SubmissionRecord | undefined, after: SubmissionRecord): void {
    this.#remember(before, after);
    for (const listener of this.#listeners) listener(after);
  }

  #remember(before: SubmissionRecord | undefined, after: SubmissionRecord): void {
    if (before) this.#counts.set(before.state, (this.#counts.get(before.state) ?? 1) - 1);
    this.#counts.set(after.state, (this.#counts.get(after.state) ?? 0) + 1);
    if (isFinal(after.state)) this.#pending.delete(toHex(after.id));
    else this.#pending.set(toHex(after.id), after);
  }
}

function moved(record: SubmissionRecord, to: SubmissionState, at: number): SubmissionRecord {
  checkMove(record.state, to);
  return { ...record, state: to, history: [...record.history, { state: to, at }] };
}

/** All records, with what keeps them in the order of their arrival. */
export async function* orderOps(kv: KV): AsyncGenerator<KvOp> {
  for await (const [, value] of kv.entries(bucketRange(BUCKET.submission)))
    yield orderOp(decodeRecord(value));
}

const orderOp = ({ seq, id }: SubmissionRecord): KvOp => put(bucketKey(BUCKET.submissionOrder, seq), id);

const recordOp = (record: SubmissionRecord): KvOp =>
  put(bucketKey(BUCKET.submission, record.id), encodeCbor(record as unknown as CborValue));

function decodeRecord(bytes: Uint8Array): SubmissionRecord {
  return decodeCborAs(recordSchema as unknown as z.ZodType<SubmissionRecord>, bytes, 'Submission record');
}
