import { must } from '#shared/errors/pool-error.ts';
import { quantiseLoss } from '#shared/pol/gate.ts';
import { readValidationSet } from '#shared/pol/validation-set.ts';
import type { HeldOutRef, ModelRef } from '#shared/protocol/worker.ts';
import type { PayloadFiles, PayloadSource } from '#worker/client/payload-cache.ts';
import { fetchHeldOut } from '#worker/evaluate/held-out-windows.ts';
import type { WindowLoss } from '#worker/evaluate/loss-cache.ts';
import { windowLosses } from '#worker/evaluate/window-losses.ts';
import { type MetaView, ModelSlot, type SlotOptions } from '#worker/model/model-slot.ts';

/** Losses wanted of one set of weights. */
export interface LossRequest {
  readonly model: ModelRef;
  readonly windows: readonly number[];
  /** Where the windows are of these shards, and not of the public set. */
  readonly heldOut?: HeldOutRef | undefined;
  /** Opens payloads that are not yet on the chain. */
  readonly bearer: string;
}

export interface LossResult {
  readonly losses: readonly WindowLoss[];
  /** Tokens foretold. */
  readonly tokens: number;
  readonly ms: number;
}

export interface LossContext {
  readonly signal: AbortSignal;
  emit(event: { done: number; total: number }): void;
}

/** Evaluates models on windows of the public or the held-out validation set. Lives in the evaluation process. */
export class Evaluation {
  readonly #slot: ModelSlot;
  readonly #payloads: PayloadSource;
  readonly #now: () => number;
  #windows: { meta: string; all: readonly Uint32Array[] } | undefined;

  constructor(payloads: PayloadSource & PayloadFiles, options: SlotOptions & { readonly now: () => number }) {
    const { now, ...slot } = options;
    this.#slot = new ModelSlot(payloads, slot);
    this.#payloads = payloads;
    this.#now = now;
  }

  /** PROTOCOL §8: one loss per window, quantised; null where it is not finite. */
  async losses(request: LossRequest, { signal, emit }: LossContext): Promise<LossResult> {
    const { bearer } = request;
    const { model, meta } = await this.#slot.show(request.model, { bearer, signal });
    const { heldOut } = request;
    const windows = heldOut
      ? await fetchHeldOut(this.#payloads, { meta, heldOut, windows: request.windows }, { signal })
      : this.#pick(meta, request.windows);
    const start = this.#now();
    const nats = await windowLosses(model, windows, {
      signal,
      onProgress: (done, total) => emit({ done, total }),
    });
    const tokens = windows.length * meta.manifest.validation.context;
    return { losses: nats.map(quantiseLoss), tokens, ms: this.#now() - start };
  }

  #pick(meta: MetaView, windows: readonly number[]): Uint32Array[] {
    if (this.#windows?.meta !== meta.payload)
      this.#windows = { meta: meta.payload, all: readValidationSet(meta.manifest) };
    const { all } = this.#windows;
    return windows.map((index) => {
      const window = all[index];
      must(window, 'BAD_REQUEST', () => `window: expected one of ${all.length}, got ${index}`);
      return window;
    });
  }
}
