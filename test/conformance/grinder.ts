import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { fromHex, u64be } from '#shared/crypto/bytes.ts';
import { MAX_TARGET } from '#shared/pow/target.ts';
import { type Grinder, type GrindJob, NONCE_OFFSET } from '#worker/mine/grinder.ts';

interface Case {
  readonly about: string;
  readonly header: string;
  readonly target: string;
  readonly start: string;
  readonly count: string;
  readonly nonce: string | null;
  readonly hash: string | null;
}

const VECTORS = new URL('../vectors/pow-grind.json', import.meta.url);
const { cases }: { cases: Case[] } = JSON.parse(readFileSync(VECTORS, 'utf8'));

const HEADER = fromHex(cases[0]!.header, 264);
/** No hash meets target 0, so this would run for centuries. */
const ENDLESS: GrindJob = { header: HEADER, target: 0n, start: 0n, count: 1n << 63n };
const never = new AbortController().signal;

function hashOf(header: Uint8Array, nonce: bigint): bigint {
  const hash = createHash('sha256')
    .update(header.subarray(0, NONCE_OFFSET))
    .update(u64be(nonce))
    .digest('hex');
  return BigInt(`0x${hash}`);
}

function lowest({ header, target, start, count }: GrindJob): bigint | null {
  for (let nonce = start; nonce < start + count; nonce++) if (hashOf(header, nonce) <= target) return nonce;
  return null;
}

const byValue = (a: bigint, b: bigint) => (a < b ? -1 : 1);

/** Starts the job, aborts it `afterMs` later, and resolves with its result. */
async function abortAfter(grinder: Grinder, job: GrindJob, afterMs: number) {
  const abort = new AbortController();
  const running = grinder.grind(job, abort.signal);
  await wait(afterMs);
  abort.abort();
  return running;
}

/** The contract of grinders. `open` starts one. */
export function grinderConformance(name: string, open: () => Promise<Grinder>): void {
  describe(`Grinder: ${name}`, () => {
    let grinder: Grinder;
    before(async () => {
      grinder = await open();
    });
    after(() => grinder.close());

    for (const { about, header, target, start, count, nonce, hash } of cases) {
      it(`finds the lowest nonce: ${about}`, async () => {
        const job = {
          header: fromHex(header, 264),
          target: BigInt(`0x${target}`),
          start: BigInt(start),
          count: BigInt(count),
        };
        const result = await grinder.grind(job, never);
        assert.equal(result.nonce, nonce === null ? null : BigInt(nonce));
        if (result.nonce === null) assert.equal(result.hashes, job.count);
        else assert.equal(hashOf(job.header, result.nonce), BigInt(`0x${hash}`));
      });
    }

    it('agrees with node:crypto on random headers, targets and ranges', async () => {
      const starts = fc.oneof(
        fc.bigInt({ min: 0n, max: (1n << 64n) - 300n }),
        fc.bigInt({ min: (1n << 32n) - 300n, max: 1n << 32n }),
        fc.bigInt({ min: (9n << 32n) - 300n, max: 9n << 32n }),
      );
      const job = fc.record({
        header: fc.uint8Array({ minLength: 264, maxLength: 264 }),
        // From a hit on nearly every nonce to one in 512.
        target: fc
          .tuple(fc.nat(9), fc.bigInt({ min: 0n, max: MAX_TARGET }))
          .map(([shift, t]) => t >> BigInt(shift)),
        start: starts,
        count: fc.bigInt({ min: 0n, max: 300n }),
      });
      await fc.assert(
        fc.asyncProperty(job, async (each) => {
          const { nonce, hashes } = await grinder.grind(each, never);
          assert.equal(nonce, lowest(each));
          assert.ok(hashes <= each.count);
          assert.ok(nonce === null ? hashes === each.count : hashes >= nonce - each.start + 1n);
        }),
        { numRuns: 150 },
      );
    });

    it('counts every hash of a range that does not divide by four', async () => {
      for (const count of [0n, 1n, 2n, 3n, 5n, 63n, 65n, 32_767n, 32_769n]) {
        const { nonce, hashes } = await grinder.grind({ ...ENDLESS, start: 3n, count }, never);
        assert.deepEqual([nonce, hashes], [null, count]);
      }
    });

    it('does not look beyond the range', async () => {
      const job: GrindJob = { header: HEADER, target: MAX_TARGET >> 6n, start: 0n, count: 1000n };
      const first = lowest(job);
      assert.ok(first !== null && first > 0n);
      assert.equal((await grinder.grind({ ...job, count: first }, never)).nonce, null);
      assert.equal((await grinder.grind({ ...job, count: first + 1n }, never)).nonce, first);
      assert.equal(
        (await grinder.grind({ ...job, start: first + 1n }, never)).nonce,
        lowest({ ...job, start: first + 1n }),
      );
    });

    it('compares the whole hash with the target', async () => {
      const nonce = 77n;
      const exact = hashOf(HEADER, nonce);
      const job: GrindJob = { header: HEADER, target: exact, start: nonce, count: 1n };
      assert.equal((await grinder.grind(job, never)).nonce, nonce);
      assert.equal((await grinder.grind({ ...job, target: exact - 1n }, never)).nonce, null);
    });

    it('leaves the header alone and ignores the nonce in it', async () => {
      const filled = HEADER.slice();
      filled.fill(0xff, NONCE_OFFSET);
      const before = filled.slice();
      const range = { target: MAX_TARGET >> 5n, start: 0n, count: 5000n };
      const result = await grinder.grind({ header: filled, ...range }, never);
      assert.equal(result.nonce, lowest({ header: HEADER, ...range }));
      assert.deepEqual(filled, before);
    });

    it('ends on abort without a nonce, and then does the next job', async () => {
      const { nonce, hashes } = await abortAfter(grinder, ENDLESS, 60);
      assert.equal(nonce, null);
      assert.ok(hashes > 0n && hashes < ENDLESS.count);
      assert.equal((await grinder.grind({ ...ENDLESS, target: MAX_TARGET, count: 9n }, never)).nonce, 0n);
    });

    it('computes nothing for a signal that is aborted already', async () => {
      const { nonce, hashes } = await grinder.grind(ENDLESS, AbortSignal.abort());
      assert.deepEqual([nonce, hashes], [null, 0n]);
    });

    it('gives every share of what it computed to the sink, each once', async () => {
      for (const [shift, count] of [
        [3n, 1_001n],
        [5n, 5_003n],
        [9n, 40_000n],
      ] as const) {
        const job: GrindJob = { header: HEADER, target: 0n, start: (7n << 32n) - 600n, count };
        const target = MAX_TARGET >> shift;
        const found: bigint[] = [];
        const { nonce, hashes } = await grinder.grind(job, never, {
          target,
          found: (share) => found.push(share),
        });
        assert.deepEqual([nonce, hashes], [null, count]);
        const expected: bigint[] = [];
        for (let n = job.start; n < job.start + count; n++) if (hashOf(HEADER, n) <= target) expected.push(n);
        assert.deepEqual(found.sort(byValue), expected);
      }
    });

    it('ends with the nonce that meets the harder target, after all shares below it', async () => {
      const job: GrindJob = { header: HEADER, target: MAX_TARGET >> 11n, start: 0n, count: 100_000n };
      const nonce = lowest(job);
      assert.ok(nonce !== null);
      for (const target of [MAX_TARGET >> 6n, job.target]) {
        const found: bigint[] = [];
        const result = await grinder.grind(job, never, { target, found: (share) => found.push(share) });
        assert.equal(result.nonce, nonce);
        assert.ok(result.hashes <= job.count);
        assert.ok(found.every((share) => hashOf(HEADER, share) <= target));
        assert.equal(new Set(found).size, found.length);
        const below: bigint[] = [];
        for (let n = 0n; n <= nonce; n++) if (hashOf(HEADER, n) <= target) below.push(n);
        assert.deepEqual(found.filter((share) => share <= nonce).sort(byValue), below);
      }
    });

    it('runs jobs one after another, and lets a waiting one be aborted', async () => {
      const first = new AbortController();
      const waiting = new AbortController();
      const ends: string[] = [];
      const running = grinder.grind(ENDLESS, first.signal).then(() => ends.push('first'));
      const given = grinder
        .grind(ENDLESS, waiting.signal)
        .then(({ hashes }) => ends.push(`waiting ${hashes}`));
      const last = grinder
        .grind({ ...ENDLESS, target: MAX_TARGET, count: 1n }, never)
        .then(() => ends.push('last'));
      waiting.abort();
      await given;
      first.abort();
      await Promise.all([running, last]);
      assert.deepEqual(ends, ['waiting 0', 'first', 'last']);
    });

    it('computes nothing while paused, and goes on when resumed', async () => {
      grinder.pause();
      const paused = await abortAfter(grinder, ENDLESS, 60);
      assert.equal(paused.hashes, 0n);
      let ended = false;
      const job = { ...ENDLESS, count: 5000n };
      const running = grinder.grind(job, never).then((result) => {
        ended = true;
        return result;
      });
      await wait(60);
      assert.equal(ended, false);
      grinder.resume();
      assert.equal((await running).hashes, 5000n);
    });

    it('BAD_REQUEST: refuses jobs of another form', async () => {
      const wrong: Partial<GrindJob>[] = [
        { header: new Uint8Array(263) },
        { target: -1n },
        { target: MAX_TARGET + 1n },
        { start: -1n },
        { count: -1n },
        { start: 1n, count: 1n << 64n },
      ];
      for (const fault of wrong) {
        await assert.rejects(grinder.grind({ ...ENDLESS, ...fault }, never), { code: 'BAD_REQUEST' });
      }
    });

    it('ends running and paused jobs on close, and can be closed twice', async () => {
      for (const paused of [false, true]) {
        const other = await open();
        if (paused) other.pause();
        const running = other.grind(ENDLESS, never);
        await wait(30);
        await Promise.all([other.close(), other.close()]);
        assert.equal((await running).nonce, null);
        assert.equal((await other.grind({ ...ENDLESS, target: MAX_TARGET }, never)).nonce, null);
      }
    });
  });
}
