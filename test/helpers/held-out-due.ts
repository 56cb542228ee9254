import type { Chain } from '#coordinator/chain/chain.ts';
import type { HeldOutCheck, HeldOutChecks, HeldOutFound } from '#coordinator/dispatch/held-out-checks.ts';
import { modelMessage } from '#coordinator/dispatch/model-ref.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { SMALL_TENSOR } from '#test/helpers/small-genesis.ts';

/** Held-out checks of sealed submissions that a test makes up; none are due until it says so. */
export class HeldOutDue implements HeldOutChecks {
  readonly results = new Map<string, HeldOutFound>();
  readonly failures: string[] = [];
  readonly #chain: Chain;
  /** Submission, hex → its miner. */
  readonly #due = new Map<string, Uint8Array>();

  constructor(chain: Chain) {
    this.#chain = chain;
  }

  add(submission: string, miner: Uint8Array): void {
    this.#due.set(submission, miner);
  }

  due(): readonly string[] {
    return [...this.#due.keys()];
  }

  async describe(submission: string): Promise<HeldOutCheck | null> {
    const miner = this.#due.get(submission);
    const { sealed, meta } = this.#chain;
    const tensor = sealed.tensors.get(SMALL_TENSOR);
    if (!miner || !tensor) return null;
    const { root } = meta.manifest.validation.held_out;
    return {
      target: {
        submission: fromHex(submission, 32),
        root,
        baseRoot: sealed.root,
        candidateRoot: root,
        windows: Array.from({ length: 16 }, (_, i) => i),
        deltaMicroNats: 1_000,
      },
      miner,
      model: modelMessage(meta, sealed),
      changed: [{ ...tensor, payloadHash: root }],
      shards: { root: toHex(root), first: 0, shards: [{ hash: toHex(root), path: [] }] },
      meta,
    };
  }

  async found(submission: string, result: HeldOutFound): Promise<void> {
    this.#due.delete(submission);
    this.results.set(submission, result);
  }

  failed(submission: string): void {
    this.#due.delete(submission);
    this.failures.push(submission);
  }
}
