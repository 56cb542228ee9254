import type { SubmissionView } from '#shared/api/schemas.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import type { ApiClient } from '#worker/client/api-client.ts';
import { type MinerEvent, reportTrouble } from '#worker/train/miner-events.ts';
import type { Head } from '#worker/train/miner-head.ts';
import type { Pace } from '#worker/train/miner-pace.ts';
import { type Candidate, type SignedFile, signCandidate } from '#worker/train/miner-submission.ts';

/** A submission on its way through the pool. */
export interface Flight {
  readonly id: string;
  readonly candidate: Candidate;
  /** Root of the head it was made for. */
  readonly base: string;
  /** `sending`, then what the pool says. */
  state: string;
  /** False once training has left what was submitted. */
  leads: boolean;
}

interface Parts {
  readonly api: Pick<ApiClient, 'uploadParameters'>;
  readonly key: KeyPair;
  readonly report: (event: MinerEvent) => void;
  readonly pace: Pace;
}

/** Brings one submission at a time to the pool, and tells what becomes of it. */
export class Courier {
  readonly #parts: Parts;
  #flight: Flight | undefined;
  #sending: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get flight(): Flight | undefined {
    return this.#flight;
  }

  /** An upload that is under way. */
  get sending(): Promise<void> | undefined {
    return this.#sending;
  }

  /** The submission whose state the pool can tell. */
  get followed(): string | undefined {
    return this.#flight?.state === 'sending' ? undefined : this.#flight?.id;
  }

  /** Weights that need no fetching once they are the head's. */
  get known(): ReadonlyMap<string, Float32Array> {
    const { refs = [], tensors } = this.#flight?.candidate ?? {};
    return new Map(refs.map(({ name, hash }) => [hash, tensors?.get(name) as Float32Array]));
  }

  /** Returns at once: the upload goes on in the background. */
  send(candidate: Candidate, head: Head, signal: AbortSignal): void {
    const file = signCandidate(candidate, head, this.#parts.key);
    const flight: Flight = { id: file.id, candidate, base: head.view.root, state: 'sending', leads: true };
    this.#flight = flight;
    this.#sending = this.#upload(flight, file, signal).finally(() => {
      this.#sending = undefined;
    });
  }

  async #upload(flight: Flight, { body, totalBytes }: SignedFile, signal: AbortSignal): Promise<void> {
    const { api, pace, report } = this.#parts;
    try {
      await api.uploadParameters({ body, totalBytes, signal });
      flight.state = 'received';
      report({ type: 'sent', submission: flight.id, bytes: totalBytes });
    } catch (error) {
      this.#flight = undefined;
      pace.failed();
      reportTrouble(report, error, signal);
    }
  }

  /** What the pool says of the flight, while `head` is its head. True where it was accepted. */
  hear(view: SubmissionView, head: Head): boolean {
    const flight = this.#flight;
    if (view.id !== flight?.id) return false;
    const { report } = this.#parts;
    if (view.state !== flight.state) report({ type: 'state', submission: flight.id, state: view.state });
    flight.state = view.state;
    if (view.state === 'rejected') this.#rejected(flight, view, head);
    const accepted = view.state === 'paid' || view.state === 'committed';
    if (accepted) this.#accepted(flight, view);
    return accepted;
  }

  #rejected(flight: Flight, view: SubmissionView, head: Head): void {
    const { report, pace } = this.#parts;
    const { code = 'INTERNAL', message = 'no reason was given', details = {} } = view.error ?? {};
    this.#flight = undefined;
    // What does not gain over a head that it was not made for may do so once it is added to it.
    const overtaken = code === 'GATE_NOT_BETTER' && flight.base !== head.view.root;
    // And what was signed for the Meta block before is only to be signed again.
    if ((overtaken || code === 'SUBMISSION_META') && flight.leads) pace.lookSoon();
    else pace.failed();
    report({
      type: 'rejected',
      submission: flight.id,
      code,
      message,
      details,
      evaluationTokens: view.cost?.tokens ?? 0,
    });
  }

  #accepted(flight: Flight, view: SubmissionView): void {
    const { report, pace } = this.#parts;
    this.#flight = undefined;
    const { trainedTokens } = pace;
    pace.accepted();
    report({
      type: 'accepted',
      submission: flight.id,
      lossBeforeNats: view.verdict?.loss_before_nats ?? null,
      lossAfterNats: view.verdict?.loss_after_nats ?? null,
      reward: view.reward ?? null,
      evaluationTokens: view.cost?.tokens ?? 0,
      trainedTokens,
    });
  }
}
