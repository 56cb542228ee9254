import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoredLoss } from '#coordinator/chain/chain.ts';
import { type HeadLoss, HeadLosses } from '#coordinator/evaluation/head-losses.ts';
import { CHAIN, META, toBlock } from '#test/helpers/forge.ts';

const { windows: WINDOWS, context: CONTEXT } = META.manifest.validation;
const [FIRST, SECOND] = CHAIN.submissions.map(({ verdict }) => verdict);
/** Heights of genesis and of the two seals. */
const [GENESIS, LAST, SINGLE] = [15, 18, 19] as const;

/** The chain of the vectors up to a height, and what was said of its heads. */
class Vectors {
  top: number;
  newestLoss: StoredLoss | null = null;
  readonly meta = META;
  readonly said: HeadLoss[] = [];
  readonly heads = new HeadLosses(this, (loss) => {
    this.said.push(loss);
    this.newestLoss = { ...loss, at: 0 };
  });

  constructor(top: number) {
    this.top = top;
  }

  height(): number {
    return this.top;
  }

  async losses(): Promise<StoredLoss[]> {
    return this.said.map((loss) => ({ ...loss, at: 0 }));
  }

  async blocks(_: 'A' | 'B', from: number, limit: number) {
    return CHAIN.blocks.slice(from, Math.min(from + limit, this.top + 1)).map(toBlock);
  }

  get points(): [number, number, boolean][] {
    return this.said.map(({ height, microNats, isMeasured }) => [height, microNats, isMeasured]);
  }
}

test('what is known of no head is read from the certificates, genesis first', async () => {
  const chain = new Vectors(SINGLE);
  await chain.heads.follow();
  const { meanBaseMicroNats: base, meanGainMicroNats: gain } = FIRST!;
  assert.deepEqual(chain.points, [
    [GENESIS, base, false],
    [LAST, base - gain, false],
    [SINGLE, base - gain - SECOND!.meanGainMicroNats, false],
  ]);
  assert.deepEqual(chain.said.at(-1)?.submission, CHAIN.submissions[1]!.submission);
  await chain.heads.follow();
  assert.equal(chain.said.length, 3, 'once');
});

test('a head without a certificate is sampled, and the estimates go on from there', async () => {
  const chain = new Vectors(GENESIS);
  await chain.heads.follow();
  assert.deepEqual(chain.points, []);
  const sample = chain.heads.due();
  assert.ok(sample.length > 0 && sample.length <= WINDOWS);
  assert.deepEqual(
    sample,
    [...new Set(sample)].sort((a, b) => a - b),
  );
  await chain.heads.measured({
    height: GENESIS,
    microNats: 5_000_000,
    submission: null,
    windows: WINDOWS - 1,
  });
  assert.deepEqual(chain.heads.due(), []);
  chain.top = LAST;
  await chain.heads.follow();
  assert.deepEqual(chain.points, [
    [GENESIS, 5_000_000, false],
    [LAST, 5_000_000 - FIRST!.meanGainMicroNats, false],
  ]);
});

test('all windows are measured within the budget that judging leaves, once per head', async () => {
  const chain = new Vectors(LAST);
  await chain.heads.follow();
  chain.heads.judged(4 * WINDOWS * CONTEXT - 1);
  assert.deepEqual(chain.heads.due(), []);
  chain.heads.judged(1);
  assert.deepEqual(
    chain.heads.due(),
    Array.from({ length: WINDOWS }, (_, i) => i),
  );
  // Another head is sealed while this one is measured: its estimate is put right.
  chain.top = SINGLE;
  await chain.heads.follow();
  await chain.heads.measured({ height: LAST, microNats: 4_000_000, submission: null, windows: WINDOWS });
  assert.deepEqual(chain.points.slice(-2), [
    [LAST, 4_000_000, true],
    [SINGLE, 4_000_000 - SECOND!.meanGainMicroNats, false],
  ]);
  assert.deepEqual(chain.heads.due(), []);
});

test('of a head under another validation set nothing is known but by measuring it', async () => {
  const chain = new Vectors(LAST);
  await chain.heads.follow();
  chain.newestLoss = null;
  await chain.heads.follow();
  assert.equal(chain.said.length, 2);
  assert.ok(chain.heads.due().length > 0);
});
