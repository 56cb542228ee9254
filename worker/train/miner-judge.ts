import { PoolError } from '#shared/errors/pool-error.ts';
import { type GateVerdict, gate, type MicroNats, quantiseLoss } from '#shared/pol/gate.ts';
import { gateRule } from '#shared/pol/rule.ts';
import { readValidationSet } from '#shared/pol/validation-set.ts';
import { seededUniform, shuffled } from '#shared/weights/random.ts';
import { windowLosses } from '#worker/evaluate/window-losses.ts';
import { Model } from '#worker/model/model.ts';
import { fromValues } from '#worker/model/weight-set.ts';
import type { Head } from '#worker/train/miner-head.ts';
import { priceOf } from '#worker/train/miner-price.ts';
import type { Candidate } from '#worker/train/miner-submission.ts';

/**
 * Standard errors on top of the gate's own. The pool draws other windows than we do; the difference of two
 * sample means has a standard error of √2 of one, so one and a half more let six in seven pass at the least.
 */
const EXTRA_Z_MILLI = 1_500;
/** More windows than this would make the estimate cost as much as the training it judges. */
const MOST_WINDOWS = 128;

/** What the gate should say, and the tokens that it should take to say so. */
export interface Foretold extends GateVerdict {
  readonly priceTokens: number;
}

/** Foretells the gate's verdict on candidates against one head, by a sample of public windows. */
export class Judge {
  readonly head: Head;
  readonly #sample: readonly Uint32Array[];
  #base: Promise<readonly MicroNats[]> | undefined;
  #last: { readonly root: string; readonly verdict: Foretold } | undefined;

  constructor(head: Head, seed: number) {
    this.head = head;
    const all = readValidationSet(head.meta.manifest);
    const count = Math.min(head.meta.manifest.gate.windows, MOST_WINDOWS, all.length);
    const order = shuffled(seededUniform(seed), all.length).subarray(0, count);
    this.#sample = [...order].map((i) => all[i] as Uint32Array);
  }

  /**
   * `passed` says that the pool's gate should pass it, too. The same candidate twice in a row costs nothing the
   * second time. LOSS_NOT_FINITE where a loss is none.
   */
  async judge(
    { root, tensors }: Pick<Candidate, 'root' | 'tensors'>,
    signal: AbortSignal,
  ): Promise<Foretold> {
    if (this.#last?.root === root) return this.#last.verdict;
    this.#base ??= this.#losses(this.head.tensors, signal);
    const base = await this.#base;
    const losses = root === this.head.view.root ? base : await this.#losses(tensors, signal);
    const { manifest } = this.head.meta;
    const { index: height } = this.head.view.head;
    const rule = gateRule(manifest, height);
    const zMilli = rule.zMilli + EXTRA_Z_MILLI;
    const found = gate(base, losses, { ...rule, zMilli });
    const { meanGainMicroNats: mean, marginMicroNats: margin, windows } = found;
    const deviation = (margin * Math.sqrt(windows) * 1_000) / zMilli;
    const verdict = { ...found, priceTokens: priceOf({ mean, deviation }, { manifest, height }) };
    this.#last = { root, verdict };
    return verdict;
  }

  async #losses(tensors: ReadonlyMap<string, Float32Array>, signal: AbortSignal): Promise<MicroNats[]> {
    const model = await Model.load(this.head.meta.config, fromValues(tensors));
    try {
      const nats = await windowLosses(model, this.#sample, { signal });
      return nats.map((loss) => {
        const micro = quantiseLoss(loss);
        if (micro === null) throw new PoolError('LOSS_NOT_FINITE', 'a loss of the weights is not finite');
        return micro;
      });
    } finally {
      model.dispose();
    }
  }
}
