import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AnswerTask, Scheduler } from '#worker/chat/scheduler.ts';

const CONTEXT = 16;
const VOCABULARY = 50;

interface FakeSequence {
  ids: number[];
  length: number;
}

/** Says (sum of what it read) mod 50 next, and keeps a log of its passes. */
class FakeModel {
  readonly config = { context: CONTEXT, vocabulary: VOCABULARY };
  readonly passes: number[][] = [];
  open = 0;
  fails: Error | null = null;

  newSequence(): FakeSequence {
    this.open += 1;
    return { ids: [], length: 0 };
  }

  disposeSequence(): void {
    this.open -= 1;
  }

  async next(parts: readonly { sequence: FakeSequence; ids: readonly number[] }[]): Promise<Float32Array[]> {
    this.passes.push(parts.map(({ ids }) => ids.length));
    if (this.fails) throw this.fails;
    return parts.map(({ sequence, ids }) => {
      sequence.ids.push(...ids);
      sequence.length += ids.length;
      assert.ok(sequence.length <= CONTEXT);
      const logits = new Float32Array(VOCABULARY);
      logits[nextOf(sequence.ids)] = 1;
      return logits;
    });
  }
}

const nextOf = (ids: readonly number[]) => ids.reduce((sum, id) => sum + id, 0) % VOCABULARY;

function expected(prompt: readonly number[], count: number): number[] {
  let read = [...prompt];
  const made: number[] = [];
  while (made.length < count) {
    if (read.length > CONTEXT) read = read.slice(-CONTEXT / 2);
    made.push(nextOf(read));
    read.push(made.at(-1) as number);
  }
  return made;
}

function setUp(options: Partial<ConstructorParameters<typeof Scheduler>[1]> = {}) {
  const model = new FakeModel();
  const scheduler = new Scheduler(model, {
    maxAnswers: 8,
    maxCachedTokens: 1_000,
    chunkTokens: 4,
    ...options,
  });
  const ask = (prompt: readonly number[], more: Partial<AnswerTask> = {}) => {
    const tokens: number[] = [];
    const done = scheduler.answer({
      prompt,
      maxTokens: 5,
      choose: (logits) => logits.indexOf(1),
      take: async (token) => {
        tokens.push(token);
        return true;
      },
      signal: new AbortController().signal,
      ...more,
    });
    return { tokens, done };
  };
  return { model, scheduler, ask };
}

describe('Scheduler', () => {
  it('makes one answer in one pass a token', async () => {
    const { model, scheduler, ask } = setUp();
    const one = ask([1, 2, 3]);
    assert.deepEqual(await one.done, { tokens: 5, reason: 'length' });
    assert.deepEqual(one.tokens, expected([1, 2, 3], 5));
    assert.deepEqual(model.passes, [[3], [1], [1], [1], [1]]);
    await scheduler.idle();
    assert.equal(model.open, 0);
  });

  it('gives each of many answers what it would be alone', async () => {
    const { model, scheduler, ask } = setUp({ maxAnswers: 3 });
    const prompts = [[7], [1, 2, 3, 4, 5, 6, 7, 8, 9], [3, 3], [9, 9, 9, 9, 9], [2, 4]];
    const answers = prompts.map((prompt, i) => ask(prompt, { maxTokens: 3 + 7 * i }));
    await Promise.all(answers.map(({ done }) => done));
    answers.forEach(({ tokens }, i) => {
      assert.deepEqual(tokens, expected(prompts[i] as number[], 3 + 7 * i));
    });
    assert.ok(model.passes.every((parts) => parts.length <= 3));
    assert.ok(model.passes.some((parts) => parts.length === 3));
    await scheduler.idle();
    assert.equal(model.open, 0);
  });

  it('reads a long prompt in pieces while others go on, and short prompts before its end', async () => {
    const { model, ask } = setUp();
    const first = ask([5]);
    const long = ask(Array.from({ length: 12 }, (_, i) => i));
    const short = ask([1, 2]);
    await Promise.all([first.done, long.done, short.done]);
    assert.deepEqual(model.passes.slice(0, 8), [[1], [4], [1], [2], [1, 1], [4], [1, 1], [4]]);
  });

  it('keeps the caches within their tokens, but lets one answer run whatever it needs', async () => {
    const { model, ask } = setUp({ maxCachedTokens: 14 });
    const sizes: number[] = [];
    const next = model.next.bind(model);
    model.next = (parts) => {
      sizes.push(parts.length);
      return next(parts);
    };
    const answers = [ask([1, 2]), ask([3, 4]), ask([5, 6])]; // 7 tokens each
    await Promise.all(answers.map(({ done }) => done));
    assert.equal(Math.max(...sizes), 2);
    const big = ask([1], { maxTokens: 30 });
    assert.deepEqual(await big.done, { tokens: 30, reason: 'length' });
  });

  it('forgets the older half of a full context, and reads the end of a prompt that is too long', async () => {
    const { ask } = setUp();
    const sliding = ask([1, 2, 3], { maxTokens: 40 });
    await sliding.done;
    assert.deepEqual(sliding.tokens, expected([1, 2, 3], 40));
    const prompt = Array.from({ length: 40 }, (_, i) => i);
    const long = ask(prompt, { maxTokens: 20 });
    await long.done;
    assert.deepEqual(long.tokens, expected(prompt.slice(-(CONTEXT - 1)), 20));
  });

  it('ends within one token of an abort, at once for its caller, while the others go on', async () => {
    const { model, scheduler, ask } = setUp();
    const control = new AbortController();
    const tokens: number[] = [];
    const take = async (token: number) => {
      tokens.push(token);
      if (tokens.length === 3) control.abort();
      return true;
    };
    const gone = ask([1], { maxTokens: 1_000, take, signal: control.signal });
    const other = ask([2], { maxTokens: 10 });
    assert.deepEqual(await gone.done, { tokens: 3, reason: 'cancelled' });
    await other.done;
    assert.equal(tokens.length, 3);
    assert.deepEqual(model.passes[3], [1]);
    await scheduler.idle();
    assert.equal(model.open, 0);
  });

  it('answers an abort even while the model computes, and one that waits', async () => {
    const { model, scheduler, ask } = setUp({ maxAnswers: 1 });
    let release = () => {};
    const next = model.next.bind(model);
    model.next = async (parts) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return next(parts);
    };
    const controls = [new AbortController(), new AbortController()];
    const asked = controls.map(({ signal }) => ask([1], { signal }));
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (const control of controls) control.abort();
    for (const { done } of asked) assert.deepEqual(await done, { tokens: 0, reason: 'cancelled' });
    release();
    await scheduler.idle();
    assert.equal(model.open, 0);
    const signal = AbortSignal.abort();
    assert.deepEqual(await ask([1], { signal }).done, { tokens: 0, reason: 'cancelled' });
  });

  it('ends where the task says so, and cuts all short where asked', async () => {
    const { scheduler, ask } = setUp();
    assert.deepEqual(await ask([1], { choose: () => null }).done, { tokens: 0, reason: 'stop' });
    assert.deepEqual(await ask([1], { take: async () => false }).done, { tokens: 1, reason: 'stop' });
    const long = ask([1], {
      maxTokens: 1_000,
      take: async () => {
        scheduler.cutShort();
        return true;
      },
    });
    assert.deepEqual(await long.done, { tokens: 1, reason: 'length' });
  });

  it('fails one answer by its own error, and all of a pass by the model’s', async () => {
    const { model, scheduler, ask } = setUp();
    const bad = ask([1], { choose: () => assert.fail('mine') });
    const good = ask([2]);
    await assert.rejects(bad.done, /mine/);
    assert.equal((await good.done).tokens, 5);
    model.fails = new Error('out of memory');
    const both = [ask([1]), ask([2])];
    for (const { done } of both) await assert.rejects(done, /out of memory/);
    model.fails = null;
    assert.equal((await ask([2]).done).tokens, 5);
    await scheduler.idle();
    assert.equal(model.open, 0);
  });

  it('BAD_REQUEST: refuses an empty prompt and tokens that the model does not have', async () => {
    const { ask } = setUp();
    for (const prompt of [[], [VOCABULARY], [-1], [0.5]])
      await assert.rejects(async () => ask(prompt).done, { code: 'BAD_REQUEST' });
  });
});
