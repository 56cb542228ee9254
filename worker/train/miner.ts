import { setTimeout as sleep } from 'node:timers/promises';
import type { SubmissionView } from '#shared/api/schemas.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { ApiClient } from '#worker/client/api-client.ts';
import type { PayloadSource } from '#worker/client/payload-cache.ts';
import type { MinerEvent } from '#worker/train/miner-events.ts';
import { Follower, type News } from '#worker/train/miner-follow.ts';
import { fetchHead, type Head } from '#worker/train/miner-head.ts';
import { Judge } from '#worker/train/miner-judge.ts';
import { FIRST_LOOK_MS, Pace } from '#worker/train/miner-pace.ts';
import { type Candidate, packCandidate, signCandidate } from '#worker/train/miner-submission.ts';
import { type MinerTrainingOptions, trainFromHead } from '#worker/train/miner-training.ts';
import type { Training } from '#worker/train/training.ts';

/** While bytes are on their way, each training step is followed by time for them. */
const BREATH_MS = 25;
/** Training that has gone astray does not come back by going on. */
const MOST_WORSE = 4;
const FINISH_POLL_MS = 500;
const SAVE_MS = 60_000;

export interface MinerOptions extends MinerTrainingOptions {
  readonly backend: string;
  /** Training before the first look at whether the weights are worth a submission. */
  readonly firstLookMs?: number | undefined;
}

export interface MinerDependencies {
  readonly api: Pick<ApiClient, 'model' | 'submission' | 'balance' | 'uploadParameters'>;
  readonly payloads: PayloadSource;
  readonly key: KeyPair;
  readonly report: (event: MinerEvent) => void;
  readonly now: () => number;
  readonly random: () => number;
}

/** A submission on its way through the pool. */
interface Flight {
  readonly id: string;
  readonly candidate: Candidate;
  state: string;
  /** False once training started again from other weights. */
  leads: boolean;
}

/**
 * Trains from the head, submits weights that should pass the gate, and goes on from whatever the head becomes:
 * its own weights where they are its own submission, the head's where another miner was faster. One submission
 * is on its way at a time; training never waits for it.
 */
export class Miner {
  readonly #options: MinerOptions;
  readonly #deps: MinerDependencies;
  readonly #follower: Follower;
  readonly #pace: Pace;
  #head!: Head;
  #judge!: Judge;
  /** Belongs to one Meta block: another one starts all of it again. */
  #training!: Training;
  #savedAt = 0;
  #flight: Flight | undefined;
  #upload: Promise<void> | undefined;
  #steps = 0;
  /** Looks in a row that found the weights worse than the head's. */
  #worse = 0;

  constructor(options: MinerOptions, deps: MinerDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#follower = new Follower(deps, deps.now);
    this.#pace = new Pace(options.firstLookMs ?? FIRST_LOOK_MS);
  }

  /** Until `steps` are done or the signal is aborted. Rejects where the pool cannot be reached at first. */
  async run(signal: AbortSignal): Promise<void> {
    const { api, payloads } = this.#deps;
    await this.#begin(await fetchHead(payloads, await api.model(signal), { signal }));
    try {
      await this.#balance(signal);
      while (!signal.aborted && this.#steps < (this.#options.steps ?? Number.POSITIVE_INFINITY)) {
        await this.#train();
        if (this.#deps.now() - this.#savedAt >= SAVE_MS) await this.#save();
        await this.#breathe();
        await this.#hear(signal);
        if (this.#pace.due && !this.#busy) await this.#look(signal);
      }
      if (!signal.aborted) await this.#finish(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await this.#save();
      this.#training.dispose();
    }
  }

  /** The last weights are submitted, too, and their verdict awaited. */
  async #finish(signal: AbortSignal): Promise<void> {
    await this.#settle(signal);
    await this.#look(signal);
    await this.#settle(signal);
  }

  async #settle(signal: AbortSignal): Promise<void> {
    while (this.#busy && !signal.aborted) {
      await sleep(FINISH_POLL_MS, undefined, { signal });
      await this.#hear(signal);
    }
  }

  get #busy(): boolean {
    return this.#flight !== undefined || this.#upload !== undefined;
  }

  async #begin(head: Head): Promise<void> {
    const { report, key } = this.#deps;
    const { training, corpus } = await trainFromHead(head, this.#options, this.#deps);
    this.#take(head);
    this.#training = training;
    this.#savedAt = this.#deps.now();
    report({
      type: 'ready',
      network: head.view.network,
      address: key.address,
      backend: this.#options.backend,
      text: corpus.source,
      trainingTokens: corpus.train.length,
      parameters: head.view.parameters,
    });
  }

  #take(head: Head): void {
    this.#head = head;
    this.#judge = new Judge(head, seed(this.#deps.random));
  }

  async #train(): Promise<void> {
    const result = await this.#training.step();
    this.#steps += 1;
    this.#pace.trained(result.ms);
    this.#deps.report({
      type: 'step',
      step: this.#steps,
      loss: result.loss,
      tokensPerSecond: (result.tokens * 1000) / Math.max(1, result.ms),
      learningRate: result.learningRate,
    });
  }

  async #save(): Promise<void> {
    this.#savedAt = this.#deps.now();
    const path = await this.#training.save();
    if (path === undefined) return;
    this.#deps.report({ type: 'checkpoint', step: this.#training.trainer.steps, state: 'saved' });
  }

  async #breathe(): Promise<void> {
    const open = this.#upload ?? this.#follower.asking;
    if (open !== undefined) await Promise.race([open, sleep(BREATH_MS)]);
  }

  async #hear(signal: AbortSignal): Promise<void> {
    const known = new Map(
      this.#flight?.candidate.refs.map(({ name, hash }) => [
        hash,
        this.#flight?.candidate.tensors.get(name) as Float32Array,
      ]),
    );
    const state = { head: this.#head, submission: this.#flight?.id, known };
    const news = this.#follower.take(state, signal);
    if (news) await this.#apply(news, signal);
  }

  async #apply(news: News, signal: AbortSignal): Promise<void> {
    if (news.error !== undefined) this.#trouble(news.error, signal);
    const own = this.#flight?.leads ? this.#flight.candidate.root : undefined;
    if (news.submission && news.submission.id === this.#flight?.id) {
      await this.#moved(this.#flight, news.submission, signal);
    }
    if (news.head) await this.#newHead(news.head, own);
  }

  async #newHead(head: Head, own: string | undefined): Promise<void> {
    const before = this.#head;
    const ours = head.view.root === own || head.view.root === before.view.root;
    this.#deps.report({ type: 'head', height: head.view.head.index, root: head.view.root, ours });
    if (head.meta.payload !== before.meta.payload) {
      this.#training.dispose();
      await this.#begin(head);
      return;
    }
    this.#take(head);
    this.#training.rebase(head.view.root);
    if (!ours) this.#startAgain();
  }

  /** From the head's weights; what the optimiser learned about their steepness stays. */
  #startAgain(): void {
    this.#training.trainer.load(this.#head.tensors);
    this.#pace.looked();
    this.#worse = 0;
    if (this.#flight) this.#flight.leads = false;
  }

  async #moved(flight: Flight, view: SubmissionView, signal: AbortSignal): Promise<void> {
    const { report } = this.#deps;
    if (view.state !== flight.state) report({ type: 'state', submission: flight.id, state: view.state });
    flight.state = view.state;
    if (view.state === 'rejected') {
      this.#flight = undefined;
      this.#pace.failed();
      const { code = 'INTERNAL', message = 'no reason was given', details = {} } = view.error ?? {};
      report({ type: 'rejected', submission: flight.id, code, message, details });
    }
    if (view.state === 'paid' || view.state === 'committed') {
      this.#flight = undefined;
      this.#pace.accepted();
      report({
        type: 'accepted',
        submission: flight.id,
        lossBeforeNats: view.verdict?.loss_before_nats ?? null,
        lossAfterNats: view.verdict?.loss_after_nats ?? null,
        reward: view.reward ?? null,
      });
      await this.#balance(signal);
    }
  }

  /** Are the weights worth a submission by now? */
  async #look(signal: AbortSignal): Promise<void> {
    this.#pace.looked();
    const candidate = packCandidate(this.#head, await this.#training.trainer.weights());
    try {
      const verdict = await this.#judge.judge(candidate.tensors, signal);
      this.#deps.report({
        type: 'estimate',
        headNats: verdict.meanBaseMicroNats / 1e6,
        candidateNats: verdict.meanCandidateMicroNats / 1e6,
        gainNats: verdict.meanGainMicroNats / 1e6,
        marginNats: verdict.marginMicroNats / 1e6,
        send: verdict.passed,
      });
      this.#worse = verdict.meanGainMicroNats < 0 ? this.#worse + 1 : 0;
      if (this.#worse >= MOST_WORSE) this.#startAgain();
      if (!verdict.passed) return this.#pace.failed();
    } catch (error) {
      this.#pace.failed();
      return this.#trouble(error, signal);
    }
    this.#upload = this.#send(candidate, signal).finally(() => {
      this.#upload = undefined;
    });
  }

  async #send(candidate: Candidate, signal: AbortSignal): Promise<void> {
    const { api, key, report } = this.#deps;
    const file = signCandidate(candidate, this.#head, key);
    try {
      await api.uploadParameters({ body: file.body, totalBytes: file.totalBytes, signal });
      this.#flight = { id: file.id, candidate, state: 'received', leads: true };
      report({ type: 'sent', submission: file.id, bytes: file.totalBytes });
    } catch (error) {
      this.#pace.failed();
      this.#trouble(error, signal);
    }
  }

  async #balance(signal: AbortSignal): Promise<void> {
    try {
      const { balance } = await this.#deps.api.balance(this.#deps.key.address, signal);
      this.#deps.report({ type: 'balance', units: balance });
    } catch (error) {
      this.#trouble(error, signal);
    }
  }

  #trouble(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    if (!(error instanceof PoolError)) throw error;
    this.#deps.report({ type: 'trouble', code: error.code, message: error.message });
  }
}

function seed(random: () => number): number {
  return Math.floor(random() * 2 ** 32);
}
