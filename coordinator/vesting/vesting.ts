import type { Chain } from '#coordinator/chain/chain.ts';
import type { Epochs } from '#coordinator/chain/epochs.ts';
import { sealedAt } from '#coordinator/chain/sealed-at.ts';
import type { HeldOutCheck, HeldOutChecks, HeldOutFound } from '#coordinator/dispatch/held-out-checks.ts';
import { modelMessage } from '#coordinator/dispatch/model-ref.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { WorkUnits } from '#coordinator/ledger/work-units.ts';
import type { EpochMember, EpochRecord } from '#coordinator/store/epoch-records.ts';
import { heldOutResultOp } from '#coordinator/store/held-out-results.ts';
import type { KV } from '#coordinator/store/kv.ts';
import type { WriteLock } from '#coordinator/store/write-lock.ts';
import type { Move } from '#shared/block/journal.ts';
import type { Work, WorkUnit } from '#shared/block/work-log.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { verifyHeldOut } from '#shared/pol/held-out-evidence.ts';
import { evaluationWork, heldOutWorkRef } from '#shared/reward/evaluation-credit.ts';
import { settleMove } from '#shared/reward/vested.ts';

export interface VestingParts {
  readonly kv: KV;
  readonly lock: WriteLock;
  readonly chain: Chain;
  readonly ledger: Pick<Ledger, 'allVested' | 'vested' | 'prepare' | 'apply'>;
  readonly units: Pick<WorkUnits, 'prepare' | 'apply'>;
  readonly epochs: Pick<Epochs, 'all' | 'catchUp' | 'reveal' | 'of' | 'result' | 'windowsOf'>;
  readonly now: () => number;
}

export interface VestingEvents {
  /** An epoch's shards are public now, or one of its submissions is settled. */
  onEpoch(epoch: EpochRecord): void;
  /** Its evidence is on disk, and the entry that follows from it if any of its reward vested. */
  onSettled(submission: Uint8Array, result: { held: boolean; moves: readonly Move[] }): void;
  /** Work on held-out windows stands in the log. */
  onCredited(units: readonly WorkUnit[]): void;
  onFault(message: string, error: unknown): void;
}

/** A re-check that came to nothing is due again after this, and after twice as long each time, up to the most. */
const RETRY_MS = 5_000;
const MOST_RETRY_MS = 600_000;

/**
 * The vesting stage: reveals held-out shards at the end of an epoch, has its sealed submissions evaluated on them, and
 * releases or forfeits what vests of their rewards. Each of them is settled once, in one batch with the evidence; what
 * is not settled is due again after every start. PROTOCOL §8.
 */
export class VestingStage implements HeldOutChecks {
  readonly #parts: VestingParts;
  readonly #events: VestingEvents;
  /** Submissions of revealed epochs without a result, hex → when they are due, Unix milliseconds. */
  readonly #open = new Map<string, { readonly fromMs: number; readonly failures: number }>();

  constructor(parts: VestingParts, events: VestingEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  /** Takes up what was open when the coordinator last stopped, however it stopped. */
  async start(): Promise<void> {
    await this.sealed();
    for (const { revealed, members } of this.#parts.epochs.all) if (revealed) await this.#openAll(members);
  }

  /** To be called when the head or the Meta block is another: ends epochs, and reveals their shards. */
  async sealed(): Promise<void> {
    const { epochs, ledger, now } = this.#parts;
    await epochs.catchUp();
    // Where no shard is left there is nothing to wait for.
    for (const { submission } of await ledger.allVested())
      if (!epochs.of(submission)) await this.#releaseUnchecked(submission);
    for (const { over, revealed, number } of [...epochs.all]) {
      if (!over || revealed) continue;
      try {
        const epoch = await epochs.reveal(number, now());
        await this.#openAll(epoch.members);
        this.#events.onEpoch(epoch);
      } catch (error) {
        // The chain goes on; what vests waits until the shards are there.
        this.#events.onFault(`the shards of epoch ${number} could not be revealed`, error);
      }
    }
  }

  /** Submissions of revealed epochs without a result. */
  get waiting(): number {
    return this.#open.size;
  }

  due(): readonly string[] {
    const now = this.#parts.now();
    return [...this.#open].filter(([, { fromMs }]) => fromMs <= now).map(([id]) => id);
  }

  async describe(submission: string): Promise<HeldOutCheck | null> {
    const { chain, epochs } = this.#parts;
    const found = this.#open.has(submission) ? epochs.of(fromHex(submission, 32)) : undefined;
    if (!found?.epoch.revealed) return null;
    const { epoch, member } = found;
    const meta = await chain.metaOf(member.meta);
    const sealed = await sealedAt(chain, member);
    return {
      target: {
        submission: member.submission,
        root: epoch.root,
        baseRoot: sealed.base,
        candidateRoot: sealed.root,
        windows: await epochs.windowsOf(epoch),
        deltaMicroNats: member.deltaMicroNats,
      },
      miner: sealed.miner,
      model: modelMessage(meta, { root: sealed.base, tensors: sealed.before }),
      changed: sealed.changed,
      shards: {
        root: toHex(epoch.root),
        first: epoch.firstShard,
        shards: found.epoch.revealed.shards.map(({ hash, path }) => ({
          hash: toHex(hash),
          path: path.map(toHex),
        })),
      },
      meta,
    };
  }

  async found(submission: string, { attestations, owners, tokens }: HeldOutFound): Promise<void> {
    const { chain, epochs, lock } = this.#parts;
    const check = await this.describe(submission);
    if (!check) return;
    const { target, meta } = check;
    const { quorum } = meta.manifest;
    const held = verifyHeldOut(chain.networkId, target, { attestations, quorum });
    const result = { attestations: attestations.map(mutable), tokens, held };
    const ref = heldOutWorkRef(chain.networkId, target.submission);
    const work = evaluationWork(meta.manifest, { ref, attestations, owners });
    const settled = await lock.run(() => this.#settle(target.submission, result, work));
    this.#open.delete(submission);
    if (settled) {
      this.#events.onSettled(target.submission, { held, moves: settled.moves });
      this.#events.onCredited(settled.units);
    }
    const epoch = epochs.of(target.submission)?.epoch;
    if (epoch) this.#events.onEpoch(epoch);
  }

  failed(submission: string): void {
    const before = this.#open.get(submission);
    if (!before) return;
    const failures = before.failures + 1;
    const waitMs = Math.min(MOST_RETRY_MS, RETRY_MS * 2 ** (failures - 1));
    this.#open.set(submission, { fromMs: this.#parts.now() + waitMs, failures });
    const error = new PoolError('EVALUATION_CRASHED', `${failures} times, tried again in ${waitMs} ms`);
    this.#events.onFault(`the held-out check of ${submission.slice(0, 12)} came to nothing`, error);
  }

  async #releaseUnchecked(submission: Uint8Array): Promise<void> {
    const { kv, lock, ledger, chain, now } = this.#parts;
    await lock.run(async () => {
      const vested = await ledger.vested(submission);
      if (!vested) return;
      const moves = [settleMove(chain.networkId, vested, true)];
      const entries = await ledger.prepare(moves, now());
      await kv.batch(entries.ops, { durable: true });
      ledger.apply(entries);
      this.#events.onSettled(submission, { held: true, moves });
    });
  }

  /** Evidence, entry and credit in one durable batch; undefined where they stand already. Holds the write lock. */
  async #settle(
    submission: Uint8Array,
    result: Pick<Parameters<typeof heldOutResultOp>[0], 'held' | 'attestations' | 'tokens'>,
    work: readonly Work[],
  ): Promise<{ moves: readonly Move[]; units: readonly WorkUnit[] } | undefined> {
    const { kv, ledger, units, chain, epochs, now } = this.#parts;
    if (await epochs.result(submission)) return undefined;
    const at = now();
    const vested = await ledger.vested(submission);
    const moves = vested ? [settleMove(chain.networkId, vested, result.held)] : [];
    const entries = moves.length > 0 ? await ledger.prepare(moves, at) : undefined;
    const evidence = heldOutResultOp({ v: 1, submission, at, ...result });
    const credited = units.prepare('evaluation', work, at);
    await kv.batch([evidence, ...(entries?.ops ?? []), ...credited.ops], { durable: true });
    if (entries) ledger.apply(entries);
    units.apply(credited);
    return { moves, units: credited.units };
  }

  async #openAll(members: readonly EpochMember[]): Promise<void> {
    for (const { submission } of members)
      if (!(await this.#parts.epochs.result(submission)))
        this.#open.set(toHex(submission), { fromMs: 0, failures: 0 });
  }
}

const mutable = ({ worker, backend, base, candidate, signature }: HeldOutFound['attestations'][number]) => ({
  ...{ worker, backend, base: [...base], candidate: [...candidate], signature },
});
