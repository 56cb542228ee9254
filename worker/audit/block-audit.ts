import type { ModelView } from '#shared/api/schemas.ts';
import { ChainsAudit, type SealedSubmission } from '#shared/block/audit-chains.ts';
import { decodeParameterBody } from '#shared/block/body.ts';
import type { ChainId } from '#shared/block/header.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import type { Block } from '#shared/block/verify-block.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { at, type Finding, findingOf, onBlock } from '#worker/audit/finding.ts';
import { type LossComparison, recheckLosses } from '#worker/audit/losses.ts';
import { checkMetaView } from '#worker/audit/model-view.ts';
import { checkPayload, readMetaPayload } from '#worker/audit/payloads.ts';
import type { PoolAuditDependencies } from '#worker/audit/pool-audit.ts';
import { rewardsOf } from '#worker/audit/rewards.ts';
import { blocksOf } from '#worker/audit/source.ts';
import { AuditSteps, type CheckLine } from '#worker/audit/steps.ts';

export interface BlockAuditOptions {
  readonly chain: ChainId;
  readonly index: number;
  readonly payload: boolean;
  /** Compute the losses of its submission anew. */
  readonly loss: boolean;
}

export interface BlockReport {
  readonly coordinator: string;
  readonly network: string;
  readonly name: string;
  readonly block: Block;
  /** A blocks: what it states. */
  readonly meta: MetaBlock | undefined;
  /** B blocks: the submission that it is a part of, once that was checked. */
  readonly sealed: SealedSubmission | undefined;
  readonly checks: readonly CheckLine[];
  readonly losses: LossComparison | undefined;
  readonly finding: Finding | undefined;
  readonly ms: number;
}

/**
 * Audits one block: itself, its payload, its link to everything below it, and for B its whole submission up to the
 * seal with certificate, model root, rewards and, if asked for, the losses. What lies below is bound by hashes and
 * not judged. NOT_FOUND where the chain has no such block.
 */
export async function auditBlock(
  options: BlockAuditOptions,
  dependencies: PoolAuditDependencies,
): Promise<BlockReport> {
  const view = await dependencies.source.model();
  const [block] = await dependencies.source.blocks(options.chain, options.index);
  must(block, 'NOT_FOUND', () => {
    const head = options.chain === 'A' ? view.meta.index : view.head.index;
    return `chain ${options.chain} has no block ${options.index}: its head is ${options.chain}${head}`;
  });
  return new BlockAudit(options, dependencies, { view, block }).run();
}

class BlockAudit {
  readonly #options: BlockAuditOptions;
  readonly #deps: PoolAuditDependencies;
  readonly #view: ModelView;
  readonly #block: Block;
  readonly #chains = new ChainsAudit();
  readonly #steps: AuditSteps;
  #meta: MetaBlock | undefined;
  #sealed: SealedSubmission | undefined;
  #losses: LossComparison | undefined;

  constructor(
    options: BlockAuditOptions,
    dependencies: PoolAuditDependencies,
    read: { view: ModelView; block: Block },
  ) {
    this.#options = options;
    this.#deps = dependencies;
    this.#steps = new AuditSteps(dependencies);
    this.#view = read.view;
    this.#block = read.block;
  }

  async run(): Promise<BlockReport> {
    const { now, progress, source } = this.#deps;
    const start = now();
    let finding: Finding | undefined;
    try {
      if (this.#options.chain === 'A') await this.#metaBlock();
      else await this.#parameterBlock();
    } catch (error) {
      finding = findingOf(error);
      if (finding === undefined) throw error;
    } finally {
      progress.end();
    }
    const { network, name } = this.#view;
    return {
      ...{ coordinator: source.coordinator, network, name, block: this.#block },
      ...{ meta: this.#meta, sealed: this.#sealed, checks: this.#steps.lines, losses: this.#losses },
      ...{ finding, ms: now() - start },
    };
  }

  async #metaBlock(): Promise<void> {
    const { index } = this.#options;
    await this.#step(
      index === 0 ? 'block' : `blocks A0 to A${index}`,
      "link, hash, body, payload signature, governors' signatures, payload, validation set",
      (done) => this.#readA(index, done),
    );
    if (this.#view.meta.index === index)
      await this.#step('model', 'GET /model names this Meta block', async () =>
        at('GET /model', () => checkMetaView(this.#view, this.#chains.meta)),
      );
  }

  async #parameterBlock(): Promise<void> {
    const { payload, loss } = this.#options;
    await this.#step('Meta chain', 'hashes, signatures, payloads', (done) => this.#readA(undefined, done));
    const sealed = await this.#submission();
    this.#sealed = sealed;
    if (payload)
      await this.#step('payload', `${this.#block.header.payloadBytes} bytes, hash`, () =>
        checkPayload(this.#deps.source, this.#block.header),
      );
    await this.#step(
      'parameter index',
      'GET /model names this block, or a newer one, for its tensor',
      async () => at('GET /model', () => this.#checkIndex(sealed)),
    );
    if (sealed.seal.certificate === null) return;
    await this.#step(
      'rewards',
      'the journal continues the one it was made on; entries as the seal fixed',
      () => rewardsOf(this.#deps.source, this.#chains.networkId, sealed),
    );
    if (loss) await this.#loss(sealed);
  }

  /** Replays A up to `last`, or to its end. */
  async #readA(last: number | undefined, done: (steps: number) => void): Promise<void> {
    let count = 0;
    for await (const block of blocksOf(this.#deps.source, 'A')) {
      const payload = await readMetaPayload(this.#deps.source, block.header);
      this.#meta = onBlock('A', count, () => this.#chains.applyMeta(block, payload));
      done(++count);
      if (block.header.index === last) return;
    }
  }

  /** Passes over what lies below the submission, then applies its parts. */
  async #submission(): Promise<SealedSubmission> {
    const { index } = this.#options;
    const body = onBlock('B', index, () => decodeParameterBody(this.#block.body));
    const first = index - body.part;
    onBlock('B', index, () =>
      must(first >= 0, 'BLOCK_BODY', `part ${body.part} cannot stand at this height`),
    );
    const what = `submission B${first} to B${first + body.parts - 1}`;
    const note = 'links, hashes, targets, signatures, bodies, model roots, certificate, gate';
    let sealed: SealedSubmission | undefined;
    await this.#step(what, note, async (done) => {
      let height = 0;
      for await (const block of blocksOf(this.#deps.source, 'B')) {
        sealed = onBlock('B', height, () => this.#apply(block, first));
        done(++height);
        if (sealed && height > index) break;
      }
      onBlock('B', index, () =>
        must(sealed && height > index, 'BLOCK_BODY', 'its submission is not sealed: the chain ends before'),
      );
    });
    return sealed as unknown as SealedSubmission;
  }

  #apply(block: Block, first: number): SealedSubmission | undefined {
    const { index } = block.header;
    if (index < first) {
      this.#chains.passParameter(block);
      return undefined;
    }
    if (index === this.#options.index)
      must(
        equalBytes(block.hash, this.#block.hash),
        'BLOCK_HASH',
        () => `the pool gave two blocks for this height: ${toHex(this.#block.hash)} and ${toHex(block.hash)}`,
      );
    return this.#chains.applyParameter(block);
  }

  #checkIndex({ after }: SealedSubmission): void {
    const { head, tensors } = this.#view;
    if (head.index < after.position.index) return; // sealed after the model was asked for
    const { index, payloadHash } = this.#block.header;
    const { name } = decodeParameterBody(this.#block.body);
    const named = tensors.find((tensor) => tensor.name === name);
    must(named && named.height >= index, 'BLOCK_ROOT', () => {
      const told = named ? `B${named.height}` : 'nothing';
      return `expected B${index} or a newer block for ${name}, got ${told}`;
    });
    must(
      named.height > index || named.hash === toHex(payloadHash),
      'BLOCK_ROOT',
      `for ${name} it names payload ${named.hash}, B${index} has ${toHex(payloadHash)}`,
    );
  }

  async #loss(sealed: SealedSubmission): Promise<void> {
    const { signal, progress } = this.#deps;
    await this.#step('loss', 'computed anew on the windows of the certificate', async (done) => {
      const evaluator = await this.#deps.evaluator();
      let total = 0;
      const show = (count: number, of: number) => {
        if (total !== of) progress.begin('loss', of);
        total = of;
        done(count);
      };
      this.#losses = await recheckLosses(sealed, { evaluator, signal, progress: show });
    });
  }

  #step(what: string, note: string, work: (done: (steps: number) => void) => Promise<void>): Promise<void> {
    return this.#steps.step(what, this.#options.index + 1, async (done) => {
      let count = 0;
      await work((steps) => {
        done(steps);
        count = steps;
      });
      return { count, note };
    });
  }
}
