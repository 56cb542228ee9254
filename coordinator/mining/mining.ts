import type { Chain } from '#coordinator/chain/chain.ts';
import type { Salts } from '#coordinator/chain/salts.ts';
import { bodiesOf, headerOf, type TemplateInputs } from '#coordinator/mining/template.ts';
import type { WorkBoard } from '#coordinator/mining/work-board.ts';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { Move } from '#shared/block/journal.ts';
import { type Block, blockFromBytes, positionOf } from '#shared/block/verify-block.ts';
import { powAfter, powUnder } from '#shared/pow/difficulty.ts';

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
    const { pow } = chain.meta.manifest;
    let previous = chain.sealed.position;
    let state = powUnder(pow, chain.sealed.pow);
    for (const [part, { body, tensor }] of bodiesOf({ chain, salts, record, ...plan }).entries()) {
      const before = previous;
      const { bits } = state;
      const template = () => headerOf(chain, before, { body, record, tensor, bits, nowMs: now() });
      const solution = await board.solve(template, bits, signal);
      hashingMs += solution.ms;
      const block = blockFromBytes(solution.header, body);
      blocks.push(block);
      previous = positionOf(block);
      const passedMs = previous.timestampMs - before.timestampMs;
      state = powAfter(pow, state, { submission: record.id, part, passedMs });
    }
    return { record, blocks, rewards: plan.rewards, hashingMs };
  }
}
