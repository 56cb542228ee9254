import assert from 'node:assert/strict';
import { it } from 'node:test';
import { z } from 'zod';
import type { ChatResponse } from '#shared/api/chat-schemas.ts';
import { blockSchema, type FeedEvent } from '#shared/api/schemas.ts';
import { LIFECYCLE } from '#shared/lifecycle.ts';
import { headOf, newKey, signedFile, submitGood, train } from '#test/helpers/candidate.ts';
import { aiblock } from '#test/helpers/child.ts';
import { entriesOf, readJournal, rewardsDue, sumOf } from '#test/helpers/journal.ts';
import { type Pool, startPool } from '#test/helpers/pool.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { streamChat } from '#worker/client/chat-stream.ts';

const STEPS = 12;
const QUESTION = { prompt: 'Call me', max_tokens: 12, temperature: 0.7, seed: 7 };
const blocksSchema = z.strictObject({ blocks: z.array(blockSchema) });

async function ask(pool: Pool): Promise<ChatResponse> {
  const response = await fetch(new URL('/chat', pool.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(QUESTION),
  });
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()) as ChatResponse;
}

async function askStreaming(pool: Pool): Promise<{ text: string; root: string }> {
  let text = '';
  for await (const event of streamChat(pool.url, QUESTION, AbortSignal.timeout(60_000))) {
    if (event.type === 'token') text += event.text;
    else return { text, root: event.model_root };
  }
  throw new Error('the stream ended without its last event');
}

it('takes a better submission from its upload to the chat', {
  skip: skipWithout('redis-server'),
}, async () => {
  const pool = await startPool();
  const feed = await pool.feed();
  const head = await headOf(pool.url);
  const before = await pool.measured();
  const answerBefore = await ask(pool);
  assert.equal(answerBefore.model_root, before.root);

  const key = newKey();
  const file = await signedFile(head, await train(head, STEPS), key);
  const received = await submitGood(pool.url, file.bytes);
  assert.equal(received.id, file.id);
  const paid = await pool.settled(file.id);
  assert.equal(paid.state, 'paid', JSON.stringify(paid.error));

  // Every state once, in the order of the life cycle.
  await feed.next('paid', (e) => e.type === 'submission' && e.submission.state === 'paid');
  const states = Object.keys(LIFECYCLE).filter((state) => state !== 'rejected');
  assert.deepEqual(feed.states(file.id), states);
  assert.deepEqual(
    paid.history.map(({ state }) => state),
    states,
  );

  // One block per changed tensor; the last one seals it, and the head moved.
  const after = await pool.measured();
  const first = before.head.index + 1;
  assert.deepEqual(paid.blocks, { first, last: before.head.index + paid.tensors.length });
  assert.equal(after.head.index, paid.blocks?.last);
  assert.notEqual(after.root, before.root);
  const isHead = (e: FeedEvent) => e.type === 'head' && e.root === after.root;
  const moved = await feed.next('the head moved', isHead);
  assert.equal(moved.type === 'head' && moved.height, after.head.index);
  const { blocks } = await pool.api.json(`chain/B/blocks?from=${first}&limit=500`, blocksSchema);
  assert.equal(blocks.length, paid.tensors.length);
  assert.deepEqual(
    blocks.map((block) => (block.body as { name: string }).name),
    paid.tensors,
  );
  assert.deepEqual(
    blocks.map((block) => block.state),
    blocks.map((_, i) => (i === blocks.length - 1 ? 'sealed' : 'part')),
  );
  assert.equal(blocks.at(-1)?.hash, after.head.hash);

  // The loss fell by what was claimed, over all windows and not only those of the gate.
  assert.ok((paid.verdict?.gain_nats ?? 0) > (paid.verdict?.margin_nats ?? 0));
  assert.ok(after.loss < before.loss, `${before.loss} → ${after.loss}`);

  // The reward adds up to the last unit, and the submitter has its part.
  const { entries, minted } = await readJournal(pool);
  const { manifest } = head.meta;
  const rewards = entriesOf(entries, file.id);
  const units = (await rewardsDue(pool, manifest.reward)).get(file.id) as bigint;
  assert.equal(sumOf(rewards), units);
  assert.equal(minted, units);
  const own = (units * BigInt(manifest.reward.split_bp.submitter)) / 10_000n;
  assert.equal(paid.reward, own.toString());
  const { balance, vesting } = await pool.api.account(key.address);
  assert.equal(BigInt(balance) + BigInt(vesting), own);
  assert.equal(BigInt(vesting), (own * BigInt(manifest.reward.vesting_bp)) / 10_000n);

  // The new head answers, and the same seed gives the same answer, streamed or not.
  const answer = await ask(pool);
  assert.equal(answer.model_root, after.root);
  assert.equal(answer.height, after.head.index);
  assert.deepEqual(await ask(pool), answer);
  assert.deepEqual(await askStreaming(pool), { text: answer.text, root: after.root });
  assert.notEqual(answer.text, answerBefore.text);

  const verified = await aiblock(['verify', '--coordinator', pool.url]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  const block = await aiblock(['verify', 'B', String(after.head.index), '--coordinator', pool.url, '--json']);
  assert.equal(block.code, 0, block.stdout + block.stderr);
});
