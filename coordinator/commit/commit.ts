import { type Chain, sealOps } from '#coordinator/chain/chain.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { WorkUnits } from '#coordinator/ledger/work-units.ts';
import type { KV } from '#coordinator/store/kv.ts';
import type { PayloadStore } from '#coordinator/store/payload-store.ts';
import type { StoredVerdict, SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import type { WriteLock } from '#coordinator/store/write-lock.ts';
import type { Move } from '#shared/block/journal.ts';
import type { SealedModel } from '#shared/block/parameter-chain.ts';
import type { Block } from '#shared/block/verify-block.ts';
import type { Work, WorkUnit } from '#shared/block/work-log.ts';
import { must } from '#shared/errors/pool-error.ts';
import { evaluationWork } from '#shared/reward/evaluation-credit.ts';

export interface CommitInputs {
  readonly record: SubmissionRecord;
  readonly blocks: readonly Block[];
  readonly rewards: readonly Move[];
}

export interface CommitParts {
  readonly kv: KV;
  readonly lock: WriteLock;
  readonly chain: Chain;
  readonly payloads: PayloadStore;
  readonly ledger: Ledger;
  readonly units: WorkUnits;
  readonly submissions: Submissions;
  /** Where the payloads wait. */
  readonly spool: { read(hash: Uint8Array): AsyncIterable<Uint8Array> };
  readonly now: () => number;
  /** Evaluations that stand in their log now. */
  readonly onCredited: (units: readonly WorkUnit[]) => void;
}

/**
 * The commit stage: checks everything again as a stranger would, stores the payloads, then makes headers, bodies,
 * index, journal, work units and the submission's state visible in one atomic, durable batch.
 */
export class CommitStage {
  readonly #parts: CommitParts;

  constructor(parts: CommitParts) {
    this.#parts = parts;
  }

  async commit(inputs: CommitInputs): Promise<SealedModel> {
    const sealed = this.#verify(inputs.blocks);
    for (const { header } of inputs.blocks) {
      must(
        (await this.#parts.chain.payloadHeight(header.payloadHash)) === undefined,
        'PAYLOAD_KNOWN',
        `the payload of B${header.index} is already on the chain`,
      );
      await this.#parts.payloads.put(header.payloadHash, this.#parts.spool.read(header.payloadHash));
    }
    return this.#parts.lock.run(() => this.#write(inputs, sealed));
  }

  #verify(blocks: readonly Block[]): SealedModel {
    const fork = this.#parts.chain.fork();
    for (const block of blocks) fork.apply(block, this.#parts.chain.meta);
    must(!fork.isOpen && blocks.length > 0, 'BLOCK_BODY', 'the blocks do not seal their submission');
    return fork.sealed;
  }

  async #write(inputs: CommitInputs, sealed: SealedModel): Promise<SealedModel> {
    const { kv, chain, ledger, units, submissions, now } = this.#parts;
    const { record, blocks, rewards } = inputs;
    const at = now();
    const entries = await ledger.prepare(rewards, at);
    const credited = units.prepare('evaluation', this.#evaluations(record), at);
    const committed = submissions.prepareCommitted(record.id, {
      blocks: { first: (blocks[0] as Block).header.index, last: sealed.position.index },
      reward: toSubmitter(rewards).toString(),
      at,
    });
    await kv.batch([...sealOps(blocks, sealed), ...entries.ops, ...credited.ops, ...committed.ops], {
      durable: true,
    });
    chain.advance(sealed);
    ledger.apply(entries);
    units.apply(credited);
    committed.announce();
    this.#parts.onCredited(credited.units);
    return sealed;
  }

  /** One unit per attestation, so for those alone who agreed: tokens × parameters of what went through the model. */
  #evaluations(record: SubmissionRecord): Work[] {
    const { attestations, owners } = record.verdict as StoredVerdict;
    const { manifest } = this.#parts.chain.meta;
    return evaluationWork(manifest, { ref: record.id, attestations, owners: owners ?? [] });
  }
}

const toSubmitter = (rewards: readonly Move[]): bigint =>
  rewards.reduce((sum, { kind, amount }) => (kind === 'reward-submitter' ? sum + amount : sum), 0n);
