import type { Chain } from '#coordinator/chain/chain.ts';
import { type Certificate, decodeParameterBody } from '#shared/block/body.ts';
import { gate } from '#shared/pol/gate.ts';

/** The loss of a head over the public validation set. */
export interface HeadLoss {
  /** B height of the head. */
  readonly height: number;
  readonly microNats: number;
  readonly submission: Uint8Array | null;
  /** On every window of the set; else it is what was measured last, less the gains that were certified since. */
  readonly isMeasured: boolean;
}

/** The whole set is measured for each so many of its tokens that were judged: a fifth of all evaluation. */
const JUDGED_PER_MEASURED = 4;
/** Enough windows to begin with, of a head that has no certificate. */
const SAMPLE_WINDOWS = 16;
const BLOCKS_AT_ONCE = 128;

type Heads = Pick<Chain, 'newestLoss' | 'losses' | 'meta' | 'height' | 'blocks'>;

/**
 * Keeps the losses of the heads. A certificate says what its submission gained, so that a head's loss is known well
 * enough for free; all windows are measured now and then, within a budget, and the estimates go on from there.
 */
export class HeadLosses {
  readonly #chain: Heads;
  readonly #onLoss: (loss: HeadLoss) => void;
  #judgedTokens = 0;

  constructor(chain: Heads, onLoss: (loss: HeadLoss) => void) {
    this.#chain = chain;
    this.#onLoss = onLoss;
  }

  /** Submissions were judged with so many tokens. */
  judged(tokens: number): void {
    this.#judgedTokens += tokens;
  }

  /** Windows of the head that are to be measured now; none while its loss is known well enough. */
  due(): number[] {
    const { newestLoss, meta } = this.#chain;
    const { windows, context } = meta.manifest.validation;
    if (newestLoss === null) return spread(windows, SAMPLE_WINDOWS);
    const isMeasured = newestLoss.isMeasured && newestLoss.height === this.#chain.height('B');
    const isAffordable = this.#judgedTokens >= JUDGED_PER_MEASURED * windows * context;
    return isAffordable && !isMeasured ? spread(windows, windows) : [];
  }

  /** A measurement came in: the heads that were sealed meanwhile are estimated from it. */
  async measured(loss: Omit<HeadLoss, 'isMeasured'> & { readonly windows: number }): Promise<void> {
    const { windows, ...rest } = loss;
    const isMeasured = windows === this.#chain.meta.manifest.validation.windows;
    if (isMeasured) this.#judgedTokens = 0;
    this.#onLoss({ ...rest, isMeasured });
    await this.follow();
  }

  /** Estimates the loss of every head since the newest one that is known. */
  async follow(): Promise<void> {
    const { newestLoss } = this.#chain;
    // Of another validation set than the present one: nothing to go on from.
    if (newestLoss === null && (await this.#chain.losses()).length > 0) return;
    let before = newestLoss?.microNats;
    for await (const { height, parts, submission, certificate } of this.#sealsAfter(
      newestLoss?.height ?? -1,
    )) {
      const [first] = certificate.attestations;
      if (!first) continue;
      const { meanBaseMicroNats, meanGainMicroNats } = gate(first.base, first.candidate, ANY_GAIN);
      if (before === undefined) {
        before = meanBaseMicroNats;
        this.#onLoss({ height: height - parts, microNats: before, submission: null, isMeasured: false });
      }
      before = Math.max(0, before - meanGainMicroNats);
      this.#onLoss({ height, microNats: before, submission, isMeasured: false });
    }
  }

  async *#sealsAfter(after: number): AsyncGenerator<Seal> {
    for (let from = after + 1; from <= this.#chain.height('B'); from += BLOCKS_AT_ONCE)
      for (const block of await this.#chain.blocks('B', from, BLOCKS_AT_ONCE)) {
        const { seal, parts, submission } = decodeParameterBody(block.body);
        if (seal?.certificate)
          yield { height: block.header.index, parts, submission, certificate: seal.certificate };
      }
  }
}

interface Seal {
  readonly height: number;
  readonly parts: number;
  readonly submission: Uint8Array;
  readonly certificate: Certificate;
}

const ANY_GAIN = { deltaMicroNats: 0, zMilli: 0 };

/** So many of the windows, from the whole of the set. */
function spread(windows: number, count: number): number[] {
  const step = Math.max(1, windows / count);
  return Array.from({ length: Math.min(count, windows) }, (_, i) => Math.floor(i * step));
}
