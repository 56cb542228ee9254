import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Bench } from '#test/bench/model/section.ts';
import { GPT_12M, gptConfig, millions } from '#test/bench/model/shapes.ts';

const CHILD = new URL('./children/evaluate.ts', import.meta.url);
const ROUNDS = 8;
const BATCHES = 2;

/** Evaluation in two processes at once against one: what a worker gains by a second core. */
export async function rows({ backend, row }: Bench): Promise<void> {
  const children = [fork(CHILD, [backend]), fork(CHILD, [backend])] as const;
  try {
    await Promise.all(children.map((child) => once(child, 'message')));
    for (const child of children) await tokensPerSecond(child); // warm
    let [one, two] = [0, 0];
    for (let round = 0; round < ROUNDS; round++) {
      one = Math.max(one, await tokensPerSecond(children[round % 2]!));
      const rates = await Promise.all(children.map(tokensPerSecond));
      two = Math.max(two, rates[0]! + rates[1]!);
    }
    row({
      metric: `loss evaluation in two processes, ${millions(gptConfig(GPT_12M))}`,
      value: two,
      unit: 'tokens/s',
      anchor: { name: 'one process', value: one },
      ...(backend === 'wasm' && { goal: { on: 'ratio', atLeast: 1.8 } }),
    });
  } finally {
    for (const child of children) child.kill();
  }
}

async function tokensPerSecond(child: ChildProcess): Promise<number> {
  child.send(BATCHES);
  const [rate] = await once(child, 'message');
  return rate as number;
}
