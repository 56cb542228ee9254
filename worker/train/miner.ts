import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyPair } from '#shared/crypto/keys.ts';
import type { ApiClient } from '#worker/client/api-client.ts';
import type { PayloadSource } from '#worker/client/payload-cache.ts';
import { type Continuation, type MinerEvent, reportTrouble } from '#worker/train/miner-events.ts';
import { Courier, type Flight } from '#worker/train/miner-flight.ts';
import { Follower, type News } from '#worker/train/miner-follow.ts';
import { fetchHead, type Head } from '#worker/train/miner-head.ts';
import { Judge } from '#worker/train/miner-judge.ts';
import { type Base, baseOf, changedByOthers, mergeInto, type Verdict } from '#worker/train/miner-merge.ts';
import { Pace, type PaceOptions } from '#worker/train/miner-pace.ts';
import { packCandidate } from '#worker/train/miner-submission.ts';
import { type MinerTrainingOptions, trainFromHead } from '#worker/train/miner-training.ts';
import type { Training } from '#worker/train/training.ts';
import { WeightAverage } from '#worker/train/weight-average.ts';

/** While bytes are on their way, each training step is followed by time for them. */
const BREATH_MS = 25;
/** Training that has gone astray does not come back by going on. */
const MOST_WORSE = 4;
const FINISH_POLL_MS = 500;
const SAVE_MS = 60_000;

export interface MinerOptions extends MinerTrainingOptions, PaceOptions {
  readonly backend: string;
  /** Whether what was trained is added to another miner's head; else training starts again from there. */
  readonly merge?: boolean | undefined;
}

export interface MinerDependencies {
  readonly api: Pick<ApiClient, 'model' | 'submission' | 'balance' | 'uploadParameters'>;
  readonly payloads: PayloadSource;
  readonly key: KeyPair;
  readonly report: (event: MinerEvent) => void;
  readonly now: () => number;
  readonly random: () => number;
}

/**
 * Trains from the head, submits weights that should pass the gate, and goes on from whatever the head becomes: from
 * its own weights where they are its own submission; where another miner was faster, with what it trained added to
 * the head if that gains, else from the head. One submission is on its way at a time; training never waits for it.
 */
export class Miner {
  readonly #options: MinerOptions;
  readonly #deps: MinerDependencies;
  readonly #follower: Follower;
  readonly #pace: Pace;
  readonly #courier: Courier;
  #head!: Head;
  #judge!: Judge;
  /** Belongs to one configuration and tokenizer: where they are others, all of it starts again. */
  #training!: Training;
  /** What is judged and submitted. */
  #average!: WeightAverage;
  #savedAt = 0;
  #steps = 0;
  /** Looks in a row that found the weights worse than the head's. */
  #worse = 0;

  constructor(options: MinerOptions, deps: MinerDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#follower = new Follower(deps, deps.now);
    this.#pace = new Pace(options);
    this.#courier = new Courier({ ...deps, pace: this.#pace });
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
        if (this.#pace.due && !this.#courier.flight) await this.#look(signal);
      }
      if (!signal.aborted) await this.#finish(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await this.#save();
      this.#training.dispose();
    }
  }

  /** The last weights are submitted, too, and their verdict awaited; again where another miner overtook them. */
  async #finish(signal: AbortSignal): Promise<void> {
    await this.#settle(signal);
    do {
      await this.#look(signal, { isLast: true });
      await this.#settle(signal);
    } while (this.#pace.due && !signal.aborted);
  }

  async #settle(signal: AbortSignal): Promise<void> {
    while (this.#courier.flight && !signal.aborted) {
      await sleep(FINISH_POLL_MS, undefined, { signal });
      await this.#hear(signal);
    }
  }

  async #begin(head: Head): Promise<void> {
    const { report, key } = this.#deps;
    const { training, corpus } = await trainFromHead(head, this.#options, this.#deps);
    this.#take(head);
    this.#training = training;
    this.#average = new WeightAverage(training.trainer);
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
    await this.#average.stepped();
    this.#steps += 1;
    this.#pace.trained(result);
    this.#deps.report({
      type: 'step',
      step: this.#steps,
      loss: result.loss,
      tokens: result.tokens,
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
    const open = this.#courier.sending ?? this.#follower.asking;
    if (open !== undefined) await Promise.race([open, sleep(BREATH_MS)]);
  }

  async #hear(signal: AbortSignal): Promise<void> {
    const { followed: submission, known } = this.#courier;
    const news = this.#follower.take({ head: this.#head, submission, known }, signal);
    if (news) await this.#apply(news, signal);
  }

  async #apply(news: News, signal: AbortSignal): Promise<void> {
    if (news.error !== undefined) reportTrouble(this.#deps.report, news.error, signal);
    const { flight } = this.#courier;
    const accepted = news.submission && this.#courier.hear(news.submission, news.head ?? this.#head);
    if (accepted) await this.#balance(signal);
    if (news.head) await this.#newHead(news.head, flight, signal);
  }

  async #newHead(head: Head, flight: Flight | undefined, signal: AbortSignal): Promise<void> {
    const before = this.#head;
    const { index: height } = head.view.head;
    const { root } = head.view;
    if (!isSameModel(head, before)) {
      this.#deps.report({ type: 'head', height, root, continued: 'restarted' });
      this.#training.dispose();
      await this.#begin(head);
      return;
    }
    this.#take(head);
    const base = baseOf(before, head, flight?.leads ? flight : undefined);
    const continued = await this.#continue(base, flight, signal);
    this.#training.rebase(root);
    this.#deps.report({ type: 'head', height, root, continued });
  }

  /** Goes on from the new head with what was trained since `base`, if that is worth anything there. */
  async #continue(base: Base, flight: Flight | undefined, signal: AbortSignal): Promise<Continuation> {
    if (changedByOthers(this.#head, base).length === 0) return 'ours';
    if (this.#options.merge === false) return this.#startAgain();
    const weights = await this.#average.weights();
    const merge = await mergeInto({ head: this.#head, base }, weights, () => this.#appraise(weights, signal));
    if (flight && merge?.share !== 1) flight.leads = false;
    if (!merge) return this.#startAgain();
    this.#average.load(weights);
    this.#worse = 0;
    if (merge.passed) this.#pace.lookSoon();
    return 'merged';
  }

  /** Weights that cannot be judged gain nothing. */
  async #appraise(weights: ReadonlyMap<string, Float32Array>, signal: AbortSignal): Promise<Verdict> {
    try {
      return await this.#judge.judge(packCandidate(this.#head, weights), signal);
    } catch (error) {
      signal.throwIfAborted();
      reportTrouble(this.#deps.report, error, signal);
      return { meanGainMicroNats: 0, passed: false };
    }
  }

  /** From the head's weights; what the optimiser learned about their steepness stays. */
  #startAgain(): 'restarted' {
    this.#average.load(this.#head.tensors);
    this.#pace.looked();
    this.#worse = 0;
    const { flight } = this.#courier;
    if (flight) flight.leads = false;
    return 'restarted';
  }

  /** Are the weights worth a submission by now? The last ones are worth any price. */
  async #look(signal: AbortSignal, { isLast = false } = {}): Promise<void> {
    this.#pace.looked();
    const { trainedTokens } = this.#pace;
    const candidate = packCandidate(this.#head, await this.#average.weights());
    try {
      const verdict = await this.#judge.judge(candidate, signal);
      const { priceTokens, passed } = verdict;
      const send = passed && (isLast || this.#pace.affords(priceTokens));
      this.#deps.report({
        type: 'estimate',
        headNats: verdict.meanBaseMicroNats / 1e6,
        candidateNats: verdict.meanCandidateMicroNats / 1e6,
        gainNats: verdict.meanGainMicroNats / 1e6,
        marginNats: verdict.marginMicroNats / 1e6,
        priceTokens,
        trainedTokens,
        send,
        early: passed && !send,
      });
      this.#worse = verdict.meanGainMicroNats < 0 ? this.#worse + 1 : 0;
      if (this.#worse >= MOST_WORSE) this.#startAgain();
      if (!passed) return this.#pace.failed();
      if (!send) return;
    } catch (error) {
      this.#pace.failed();
      return reportTrouble(this.#deps.report, error, signal);
    }
    this.#courier.send(candidate, this.#head, signal);
  }

  async #balance(signal: AbortSignal): Promise<void> {
    try {
      const { balance } = await this.#deps.api.balance(this.#deps.key.address, signal);
      this.#deps.report({ type: 'balance', units: balance });
    } catch (error) {
      reportTrouble(this.#deps.report, error, signal);
    }
  }
}

function seed(random: () => number): number {
  return Math.floor(random() * 2 ** 32);
}

/** A Meta block that changes rules, gate or reward leaves what was trained as it is. */
function isSameModel({ meta: { manifest: a } }: Head, { meta: { manifest: b } }: Head): boolean {
  return a.config === b.config && a.tokenizer === b.tokenizer;
}
