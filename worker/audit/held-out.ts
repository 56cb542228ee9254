import type { EpochDetail } from '#shared/api/epoch-schemas.ts';
import { type AuditedEpoch, checkRevealed, type VestingAudit } from '#shared/block/audit-vesting.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import { collectBytes, equalBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { verifyMerklePath } from '#shared/crypto/merkle.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { heldOutShards } from '#shared/pol/epochs.ts';
import type { HeldOutAttestation } from '#shared/pol/held-out-evidence.ts';
import { heldOutWorkRef } from '#shared/reward/evaluation-credit.ts';
import { atAsync } from '#worker/audit/finding.ts';
import type { AuditSource } from '#worker/audit/source.ts';

export interface HeldOutRun {
  readonly networkId: Uint8Array;
  readonly vesting: VestingAudit;
  /** Fetch the shards too, and follow their paths to the root of the Meta block. */
  readonly shards: boolean;
  done(epochs: number): void;
}

/** What the pool shows of its revealed epochs, by number. */
export type ShownEpochs = ReadonlyMap<number, EpochDetail>;

/** Work on held-out windows that evidence stands for, by its `ref` in hex. */
export type HeldOutWork = ReadonlyMap<
  string,
  {
    readonly meta: MetaBlock;
    /** Number of the first unit of the log that can be credit for it: before, its shards were not public. */
    readonly from: number;
    readonly attestations: readonly HeldOutAttestation[];
  }
>;

export interface CheckedEpochs {
  readonly shown: ShownEpochs;
  readonly work: HeldOutWork;
}

/**
 * Reads the evidence of every epoch that is over, as the chain makes them, and holds it against the rules of PROTOCOL
 * §8. BLOCK_CERTIFICATE where a pool shows something else.
 */
export async function checkEpochs(source: AuditSource, run: HeldOutRun): Promise<CheckedEpochs> {
  const shown = new Map<number, EpochDetail>();
  const work = new Map<string, NonNullable<ReturnType<HeldOutWork['get']>>>();
  const over = run.vesting.epochs.filter(({ isOver }) => isOver);
  for (const epoch of over) {
    await atAsync(`epoch ${epoch.number}`, async () => {
      const detail = await shownOf(source, epoch, epoch === over.at(-1));
      if (!detail) return;
      checkRevealed(epoch, {
        root: fromHex(detail.root, 32),
        indices: detail.revealed.map(({ index }) => index),
      });
      if (run.shards) await checkShards(source, epoch, detail);
      for (const evidence of detail.results.map(evidenceOf)) {
        run.vesting.evidence(epoch, evidence);
        const ref = toHex(heldOutWorkRef(run.networkId, evidence.submission));
        work.set(ref, { ...workOf(epoch, evidence.submission), attestations: evidence.attestations });
      }
      shown.set(epoch.number, detail);
    });
    run.done(epoch.number + 1);
  }
  return { shown, work };
}

/** Undefined where its shards are not there yet: an epoch is over a moment before, and counted a moment before that. */
async function shownOf(
  source: AuditSource,
  { number }: AuditedEpoch,
  isNewest: boolean,
): Promise<EpochDetail | undefined> {
  const detail = await source.epoch(number).catch((error: unknown) => {
    if (isNewest && error instanceof PoolError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  });
  if (!detail || (detail.state !== 'over' && detail.state !== 'open')) return detail;
  must(detail.results.length === 0, 'BLOCK_CERTIFICATE', 'it has results before its shards are public');
  return undefined;
}

function workOf({ members }: AuditedEpoch, submission: Uint8Array): { meta: MetaBlock; from: number } {
  const member = members.find((sealed) => equalBytes(sealed.submission, submission));
  const last = members.at(-1);
  must(member && last, 'BLOCK_CERTIFICATE', 'it has a result of a submission that it does not have');
  return { meta: member.meta, from: last.seal.work.evaluation.seq };
}

async function checkShards(
  source: AuditSource,
  epoch: AuditedEpoch,
  { revealed }: EpochDetail,
): Promise<void> {
  const [first] = epoch.members;
  const size = first ? heldOutShards(first.meta.manifest.validation) : 0;
  for (const { index, hash, bytes, path } of revealed) {
    const leaf = await collectBytes(await source.payload(hash));
    const claim = { leaf, index, size, path: path.map((node) => fromHex(node, 32)) };
    must(
      leaf.length === bytes && verifyMerklePath(epoch.root, claim),
      'BLOCK_CERTIFICATE',
      `shard ${index}: its bytes do not lead to the root of the held-out part`,
    );
  }
}

function evidenceOf({ submission, held, attestations }: EpochDetail['results'][number]) {
  return {
    submission: fromHex(submission, 32),
    held,
    attestations: attestations.map(({ worker, backend, base, candidate, signature }) => ({
      ...{ worker: fromHex(worker, 33), backend, base, candidate, signature: fromHex(signature, 64) },
    })),
  };
}
