import type { MetaBlock } from '#shared/block/meta-chain.ts';
import type { HeldOutAttestation, HeldOutTarget } from '#shared/pol/held-out-evidence.ts';
import type { HeldOutRef, ModelRef } from '#shared/protocol/worker.ts';
import type { TensorRef } from '#shared/weights/model-root.ts';

/** A sealed submission to be evaluated on the shards that its epoch revealed. */
export interface HeldOutCheck {
  readonly target: HeldOutTarget;
  readonly miner: Uint8Array;
  /** The model before it, and what it changed of that. */
  readonly model: ModelRef;
  readonly changed: readonly TensorRef[];
  readonly shards: HeldOutRef;
  /** The Meta block that ruled its seal. */
  readonly meta: MetaBlock;
}

/** What a quorum found. */
export interface HeldOutFound {
  readonly attestations: readonly HeldOutAttestation[];
  /** Whom each of their workers works for. */
  readonly owners: readonly string[];
  /** Tokens through the models, of all workers. */
  readonly tokens: number;
}

/** The re-checks that are due, for whoever has them evaluated. */
export interface HeldOutChecks {
  /** Submission ids, hex, of what is to be evaluated now. */
  due(): readonly string[];
  /** Null where it is not due (any more). */
  describe(submission: string): Promise<HeldOutCheck | null>;
  /** What was found stands on disk with what follows from it when this resolves. Idempotent. */
  found(submission: string, result: HeldOutFound): Promise<void>;
  /** No result came of it: it is due again later. */
  failed(submission: string): void;
}
