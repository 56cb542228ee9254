import type { ModelView } from '#shared/api/schemas.ts';
import { ChainsAudit, type SealedSubmission } from '#shared/block/audit-chains.ts';
import { JournalAudit } from '#shared/block/audit-journal.ts';
import { RewardAudit } from '#shared/block/audit-rewards.ts';
import { VestingAudit } from '#shared/block/audit-vesting.ts';
import type { JournalEntry, JournalHead } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { checkAdjustments } from '#worker/audit/adjustments.ts';
import { differencesOf, refuseDifference } from '#worker/audit/differences.ts';
import { at, atAsync, type Finding, findingOf, onBlock } from '#worker/audit/finding.ts';
import { checkEpochs, type ShownEpochs } from '#worker/audit/held-out.ts';
import { recheckHeldOut } from '#worker/audit/held-out-losses.ts';
import { checkBalances, replayJournal } from '#worker/audit/journal.ts';
import { type LossComparison, type LossEvaluator, recheckLosses } from '#worker/audit/losses.ts';
import { checkMetaView, checkModelView } from '#worker/audit/model-view.ts';
import { checkPayload, type PayloadClaim, readMetaPayload } from '#worker/audit/payloads.ts';
import type { Progress } from '#worker/audit/progress.ts';
import { RewardReplay } from '#worker/audit/reward-replay.ts';
import { eachOf, sampleOf } from '#worker/audit/some.ts';
import { type AuditSource, blocksOf } from '#worker/audit/source.ts';

export interface PoolAuditOptions {
  /** One chain only, or everything. B cannot be read without A. */
  readonly chain: 'A' | 'B' | 'both';
  readonly payloads: boolean;
  /** Sealed submissions whose losses are computed anew. */
  readonly losses: number;
  /** Only those whose seal stands at one of these B heights, both ends included. */
  readonly lossRange?: { readonly first: number; readonly last: number } | undefined;
}

export interface PoolAuditDependencies {
  readonly source: AuditSource;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly random: () => number;
  /** Called when the first loss is to be computed. */
  evaluator(): Promise<LossEvaluator>;
}

/** One line of the report. */
export interface CheckLine {
  readonly what: string;
  readonly count: number;
  readonly ms: number;
  readonly note: string;
}

export interface PoolReport {
  readonly coordinator: string;
  readonly network: string;
  readonly name: string;
  readonly height: { readonly A: number; readonly B: number };
  readonly root: string;
  readonly checks: readonly CheckLine[];
  readonly losses: readonly LossComparison[];
  readonly finding: Finding | undefined;
  readonly ms: number;
}

const PAYLOADS_AT_ONCE = 4;
const BALANCES_AT_ONCE = 8;

/**
 * Audits a whole pool over its public API, believing nothing: both chains, payloads, the model it says it has, the
 * journal, the rewards, the balances and, if asked for, the losses themselves. Ends at the first finding. Rejects
 * where it cannot go on, such as a line that breaks.
 */
export async function auditPool(
  options: PoolAuditOptions,
  dependencies: PoolAuditDependencies,
): Promise<PoolReport> {
  return new PoolAudit(options, dependencies).run();
}

class PoolAudit {
  readonly #options: PoolAuditOptions;
  readonly #deps: PoolAuditDependencies;
  readonly #chains = new ChainsAudit();
  readonly #checks: CheckLine[] = [];
  readonly #losses: LossComparison[] = [];
  readonly #seals: SealedSubmission[] = [];
  #vestingAudit: VestingAudit | undefined;
  #shown: ShownEpochs = new Map();
  /** Of every Meta block. */
  readonly #poolKeys: Uint8Array[] = [];
  readonly #payloads = new Map<string, PayloadClaim>();

  constructor(options: PoolAuditOptions, dependencies: PoolAuditDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  async run(): Promise<PoolReport> {
    const { source, now, progress } = this.#deps;
    const start = now();
    // The model before the journal, both before the blocks: whatever these two tell of can then be found below.
    const view = await source.model();
    const { journal } = await source.journal(0);
    let finding: Finding | undefined;
    try {
      await this.#steps(view, journal);
    } catch (error) {
      finding = findingOf(error);
      if (finding === undefined) throw error;
    } finally {
      progress.end();
    }
    const { network, name, root, head, meta } = view;
    const height = { A: meta.index, B: head.index };
    const [checks, losses] = [this.#checks, this.#losses];
    const { coordinator } = source;
    return { coordinator, network, name, height, root, checks, losses, finding, ms: now() - start };
  }

  async #steps(view: ModelView, journal: JournalHead): Promise<void> {
    const { chain, payloads, losses } = this.#options;
    await this.#chainA(view);
    if (chain === 'A') return;
    await this.#chainB(view);
    if (payloads) await this.#allPayloads();
    if (chain === 'both') await this.#journal(view, journal);
    if (losses > 0) await this.#someLosses(losses);
  }

  #chainA(view: ModelView): Promise<void> {
    return this.#step('Meta blocks', view.meta.index + 1, async (done) => {
      const { source } = this.#deps;
      let count = 0;
      for await (const block of blocksOf(source, 'A')) {
        const payload = await readMetaPayload(source, block.header);
        const meta = onBlock('A', count, () => this.#chains.applyMeta(block, payload));
        this.#poolKeys.push(meta.manifest.pool_key);
        if (meta.index === view.meta.index) at('GET /model', () => checkMetaView(view, meta));
        done(++count);
      }
      reached('A', count, view.meta.index);
      const { manifest } = this.#chains.meta;
      return {
        count,
        note: `hashes, governors' signatures, payloads, ${manifest.validation.windows} validation windows`,
      };
    });
  }

  #chainB(view: ModelView): Promise<void> {
    return this.#step('Parameter blocks', view.head.index + 1, async (done) => {
      let count = 0;
      for await (const block of blocksOf(this.#deps.source, 'B')) {
        const sealed = onBlock('B', count, () => this.#chains.applyParameter(block));
        this.#payloads.set(toHex(block.header.payloadHash), block.header);
        if (sealed) this.#seals.push(sealed);
        if (block.header.index === view.head.index)
          at('GET /model', () => checkModelView(view, this.#chains));
        done(++count);
      }
      reached('B', count, view.head.index);
      onBlock('B', count - 1, () => this.#chains.finish());
      const attestations = this.#seals.reduce(
        (sum, { seal }) => sum + (seal.certificate?.attestations.length ?? 0),
        0,
      );
      this.#line('submissions', this.#seals.length - 1, `certificates, ${attestations} attestations, gates`);
      this.#line('parameter index', view.tensors.length, 'tensors and model root as GET /model says');
      return { count, note: 'links, hashes, targets, signatures, bodies, model roots' };
    });
  }

  #allPayloads(): Promise<void> {
    return this.#step('payloads', this.#payloads.size, async (done) => {
      let bytes = 0;
      let count = 0;
      await eachOf([...this.#payloads.values()], PAYLOADS_AT_ONCE, async (claim) => {
        await checkPayload(this.#deps.source, claim);
        bytes += claim.payloadBytes;
        done(++count);
      });
      return { count, note: `hash and size, ${(bytes / 2 ** 20).toFixed(1)} MiB` };
    });
  }

  get #vesting(): VestingAudit {
    this.#vestingAudit ??= new VestingAudit(this.#chains.networkId);
    return this.#vestingAudit;
  }

  async #journal(view: ModelView, until: JournalHead): Promise<void> {
    const { source } = this.#deps;
    const journal = new JournalAudit(this.#chains.networkId);
    const rewards = new RewardAudit(this.#chains.networkId);
    const vesting = this.#vesting;
    await this.#heldOut();
    const adjustments: JournalEntry[] = [];
    await this.#step('journal entries', until.seq, async (done) => {
      for (const { submission, miner, seal, meta, after } of this.#seals) {
        const height = after.position.index;
        const { manifest } = meta;
        onBlock('B', height, () => rewards.claim({ height, submission, miner, seal, manifest }));
      }
      await replayJournal(source, { journal, rewards, vesting, until: until.seq, adjustments, done });
      const { minted, burned } = journal.totals;
      const note = `links, amounts, conservation: ${minted} minted, ${burned} burned`;
      return { count: journal.journal.seq, note };
    });
    const settled = at('the journal', () => rewards.settle(view.head.index));
    this.#line('rewards', settled, 'entries are those that the seals fixed');
    await this.#rewardsAnew(until.seq);
    if (vesting.epochs.length > 0) {
      const parts = at('the journal', () => vesting.finish());
      this.#line('vested parts', parts, 'released or forfeited once, as the held-out checks say');
    }
    await checkAdjustments(source, this.#chains.networkId, {
      entries: adjustments,
      poolKeys: this.#poolKeys,
    });
    if (adjustments.length > 0)
      this.#line('adjustments', adjustments.length, 'signed by the pool, from its own account');
    await this.#step('balances', journal.balances.size, async (done) => {
      const count = await checkBalances(source, { journal, atOnce: BALANCES_AT_ONCE, done });
      return { count, note: 'as GET /balance says' };
    });
  }

  /** Before the journal is read: what it settles has its evidence by then. */
  async #heldOut(): Promise<void> {
    const vesting = this.#vesting;
    for (const sealed of this.#seals) vesting.seal(sealed);
    vesting.ruledBy(this.#chains.meta.manifest.validation);
    const over = vesting.epochs.filter(({ isOver }) => isOver).length;
    if (over === 0) return;
    const { source } = this.#deps;
    const { payloads: shards } = this.#options;
    await this.#step('epochs', over, async (done) => {
      this.#shown = await checkEpochs(source, { vesting, shards, done });
      const results = [...this.#shown.values()].flatMap((epoch) => epoch.results);
      const held = results.filter((result) => result.held).length;
      const note = `${results.length} held-out checks: ${held} hold, ${results.length - held} do not${shards ? '; shards lead to the root' : ''}`;
      return { count: over, note };
    });
  }

  /** From the logs of work to the last unit: a seal may have fixed what does not follow. */
  #rewardsAnew(until: number): Promise<void> {
    return this.#step('rewards computed anew', this.#seals.length, async (done) => {
      const replay = new RewardReplay(this.#deps.source, {
        ...{ networkId: this.#chains.networkId, seals: this.#seals, until, done },
      });
      const rewards = await replay.run();
      const [wrong] = rewards.flatMap(differencesOf);
      if (wrong) onBlock('B', wrong.height, () => refuseDifference(wrong));
      const { evaluation, grinding } = replay.units;
      return { count: rewards.length, note: `from ${evaluation} evaluation and ${grinding} grinding units` };
    });
  }

  #someLosses(most: number): Promise<void> {
    const { first, last } = this.#options.lossRange ?? { first: 0, last: Number.POSITIVE_INFINITY };
    const judged = this.#seals.filter(({ seal, after }) => {
      const { index } = after.position;
      return seal.certificate !== null && index >= first && index <= last;
    });
    const chosen = sampleOf(judged, most, this.#deps.random);
    return this.#step('losses', chosen.length, async (done) => {
      if (chosen.length === 0) return { count: 0, note: 'no submission was judged there' };
      const evaluator = await this.#deps.evaluator();
      const run = { evaluator, signal: this.#deps.signal, progress: () => {} };
      for (const [i, sealed] of chosen.entries()) {
        const comparisons = await atAsync(`B${sealed.after.position.index}`, async () => [
          await recheckLosses(sealed, run),
          ...(await recheckHeldOut(sealed, this.#shown.values(), run)),
        ]);
        this.#losses.push(...comparisons);
        done(i + 1);
      }
      const largest = Math.max(...this.#losses.map(({ largestMicroNats }) => largestMicroNats));
      return { count: chosen.length, note: `computed anew, at most ${largest} micro-nats off in a window` };
    });
  }

  async #step(
    what: string,
    total: number,
    work: (done: (steps: number) => void) => Promise<{ count: number; note: string }>,
  ): Promise<void> {
    const { now, progress, signal } = this.#deps;
    const start = now();
    progress.begin(what, total);
    const lines = this.#checks.length;
    const { count, note } = await work((steps) => {
      signal.throwIfAborted();
      progress.done(steps);
    });
    // Before what it noted on the way.
    this.#checks.splice(lines, 0, { what, count, ms: now() - start, note });
  }

  #line(what: string, count: number, note: string): void {
    this.#checks.push({ what, count, ms: 0, note });
  }
}

function reached(chain: 'A' | 'B', count: number, height: number): void {
  onBlock(chain, count, () =>
    must(count > height, 'BLOCK_LINK', `GET /model names height ${height}, the chain ends at ${count - 1}`),
  );
}
