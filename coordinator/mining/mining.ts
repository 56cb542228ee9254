import type { Chain } from '#coordinator/chain/chain.ts';
import type { Salts } from '#coordinator/chain/salts.ts';
import { bodiesOf, headerOf, type TemplateInputs } from '#coordinator/mining/template.ts';
import type { WorkBoard } from '#coordinator/mining/work-board.ts';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { Move } from '#shared/block/journal.ts';
import { type Block, blockFromBytes, positionOf } from '#shared/block/verify-block.ts';

/** What the seal says about money and work. */
export type RewardPlan = Pick<TemplateInputs, 'journal' | 'work' | 'rewards'>;

export interface MinedSubmission {
  readonly record: SubmissionRecord;
  readonly blocks: readonly Block[];
  readonly rewards: readonly Move[];
  /** Time in which nonces were sought. */
  readonly hashingMs: number;
}

/** The mining stage: one header per changed tensor, each on the one before, solved by the workers. */
export class MiningStage {
  readonly #parts: { chain: Chain; salts: Salts; board: WorkBoard; now: () => number };

  constructor(parts: { chain: Chain; salts: Salts; board: WorkBoard; now: () => number }) {
    this.#parts = parts;
  }

  async mine(record: SubmissionRecord, plan: RewardPlan, signal: AbortSignal): Promise<MinedSubmission> {
    const { chain, salts, board, now } = this.#parts;
    const blocks: Block[] = [];
    let hashingMs = 0;
    let previous = chain.sealed.position;
    for (const { body, tensor } of bodiesOf({ chain, salts, record, ...plan })) {
      const before = previous;
      const template = () => headerOf(chain, before, { body, record, tensor, nowMs: now() });
      const solution = await board.solve(template, chain.meta.manifest.pow.bits, signal);
      hashingMs += solution.ms;
      const block = blockFromBytes(solution.header, body);
      blocks.push(block);
      previous = positionOf(block);
    }
    return { record, blocks, rewards: plan.rewards, hashingMs };
  }
}
