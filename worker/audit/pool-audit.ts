import type { ModelView } from '#shared/api/schemas.ts';
import { ChainsAudit, type SealedSubmission } from '#shared/block/audit-chains.ts';
import type { JournalHead } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { at, atAsync, type Finding, findingOf, onBlock } from '#worker/audit/finding.ts';
import type { ShownEpochs } from '#worker/audit/held-out.ts';
import { recheckHeldOut } from '#worker/audit/held-out-losses.ts';
import { type LossComparison, type LossEvaluator, recheckLosses } from '#worker/audit/losses.ts';
import { checkMetaView, checkModelView } from '#worker/audit/model-view.ts';
import { MoneyAudit } from '#worker/audit/money-audit.ts';
import { checkPayload, type PayloadClaim, readMetaPayload } from '#worker/audit/payloads.ts';
import { eachOf, sampleOf } from '#worker/audit/some.ts';
import { type AuditSource, blocksOf } from '#worker/audit/source.ts';
import { AuditSteps, type CheckLine, type StepDependencies } from '#worker/audit/steps.ts';

export interface PoolAuditOptions {
  /** One chain only, or everything. B cannot be read without A. */
  readonly chain: 'A' | 'B' | 'both';
  readonly payloads: boolean;
  /** Sealed submissions whose losses are computed anew. */
  readonly losses: number;
  /** Only those whose seal stands at one of these B heights, both ends included. */
  readonly lossRange?: { readonly first: number; readonly last: number } | undefined;
}

export interface PoolAuditDependencies extends StepDependencies {
  readonly source: AuditSource;
  readonly random: () => number;
  /** Called when the first loss is to be computed. */
  evaluator(): Promise<LossEvaluator>;
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
  readonly #steps: AuditSteps;
  readonly #losses: LossComparison[] = [];
  readonly #seals: SealedSubmission[] = [];
  #shown: ShownEpochs = new Map();
  /** Of every Meta block. */
  readonly #poolKeys: Uint8Array[] = [];
  readonly #payloads = new Map<string, PayloadClaim>();

  constructor(options: PoolAuditOptions, dependencies: PoolAuditDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.#steps = new AuditSteps(dependencies);
  }

  async run(): Promise<PoolReport> {
    const { source, now, progress } = this.#deps;
    const start = now();
    // The model before the journal, both before the blocks: whatever these two tell of can then be found below.
    const view = await source.model();
    const { journal } = await source.journal(0);
    let finding: Finding | undefined;
    try {
      await this.#checkAll(view, journal);
    } catch (error) {
      finding = findingOf(error);
      if (finding === undefined) throw error;
    } finally {
      progress.end();
    }
    const { network, name, root, head, meta } = view;
    const height = { A: meta.index, B: head.index };
    const [checks, losses] = [this.#steps.lines, this.#losses];
    const { coordinator } = source;
    return { coordinator, network, name, height, root, checks, losses, finding, ms: now() - start };
  }

  async #checkAll(view: ModelView, journal: JournalHead): Promise<void> {
    const { chain, payloads, losses } = this.#options;
    await this.#chainA(view);
    if (chain === 'A') return;
    await this.#chainB(view);
    if (payloads) await this.#allPayloads();
    if (chain === 'both') await this.#money(view, journal);
    if (losses > 0) await this.#someLosses(losses);
  }

  #chainA(view: ModelView): Promise<void> {
    return this.#steps.step('Meta blocks', view.meta.index + 1, async (done) => {
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
    return this.#steps.step('Parameter blocks', view.head.index + 1, async (done) => {
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
      this.#steps.line(
        'submissions',
        this.#seals.length - 1,
        `certificates, ${attestations} attestations, gates`,
      );
      this.#steps.line('parameter index', view.tensors.length, 'tensors and model root as GET /model says');
      return { count, note: 'links, hashes, targets, signatures, bodies, model roots' };
    });
  }

  #allPayloads(): Promise<void> {
    return this.#steps.step('payloads', this.#payloads.size, async (done) => {
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

  async #money(view: ModelView, until: JournalHead): Promise<void> {
    const [chains, seals, poolKeys] = [this.#chains, this.#seals, this.#poolKeys];
    const money = new MoneyAudit(this.#deps.source, this.#steps, { chains, seals, poolKeys });
    this.#shown = await money.run({ until, height: view.head.index, shards: this.#options.payloads });
  }

  #someLosses(most: number): Promise<void> {
    const { first, last } = this.#options.lossRange ?? { first: 0, last: Number.POSITIVE_INFINITY };
    const judged = this.#seals.filter(({ seal, after }) => {
      const { index } = after.position;
      return seal.certificate !== null && index >= first && index <= last;
    });
    const chosen = sampleOf(judged, most, this.#deps.random);
    return this.#steps.step('losses', chosen.length, async (done) => {
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
}

function reached(chain: 'A' | 'B', count: number, height: number): void {
  onBlock(chain, count, () =>
    must(count > height, 'BLOCK_LINK', `GET /model names height ${height}, the chain ends at ${count - 1}`),
  );
}
