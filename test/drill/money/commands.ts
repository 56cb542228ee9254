import fc, { type AsyncCommand } from 'fast-check';
import { ACCOUNTS } from '#test/drill/money/accounts.ts';
import type { Question, TransferKind, Wish } from '#test/drill/money/answers.ts';
import type { World } from '#test/drill/money/world.ts';

/* Everything that moves money has a command here: whatever else comes to move it gets one too. */

/** The oracle lives in the world, beside what it judges: nothing is predicted, everything is judged. */
type Nothing = Record<string, never>;
type Command = AsyncCommand<Nothing, World>;

function command(name: string, run: (world: World) => Promise<void>): Command {
  return { check: () => true, run: (_, world) => run(world), toString: () => name };
}

const account = fc.nat({ max: ACCOUNTS.length - 1 });
const kind = fc.oneof(
  { weight: 14, arbitrary: fc.constant<TransferKind>('right') },
  {
    weight: 6,
    arbitrary: fc.constantFrom<TransferKind>('repeat', 'used', 'ahead', 'too much', 'forged', 'expired'),
  },
);
/** From dust to a tenth of a reward, so that accounts run dry now and then. */
const amount = fc.oneof(fc.bigInt(1n, 100n), fc.bigInt(1n, 500_000_000n), fc.bigInt(1n, 5_000_000_000n));
/** One more than there are accounts: it burns. */
const receiver = fc.nat({ max: ACCOUNTS.length });
const wish: fc.Arbitrary<Wish> = fc.record({ kind, from: account, to: receiver, amount });
const wishes = (most: number) => fc.array(wish, { minLength: 1, maxLength: most, size: 'max' });
const question: fc.Arbitrary<Question> = fc.record({
  account,
  wanted: fc.integer({ min: 1, max: 900 }),
  delivered: fc.nat(900),
});
const show = (list: readonly Wish[]) =>
  list.map(({ kind, from, to, amount }) => `${from}→${to} ${amount} ${kind}`).join(', ');

/** Sequences of at most `most` commands, with bursts of at most `burst` transfers. */
export function moneyCommands(most: number, burst: number): fc.Arbitrary<Iterable<Command>> {
  const transfers = wishes(burst).map((list) =>
    command(`transfer(${show(list)})`, (world) => world.transfer(list)),
  );
  // Chats race with transfers of the same accounts.
  const chats = fc
    .tuple(wishes(5), fc.array(question, { minLength: 1, maxLength: 8 }))
    .map(([list, questions]) =>
      command(`chat(${JSON.stringify(questions)}; ${show(list)})`, (world) =>
        world.transfer(list, questions),
      ),
    );
  const shares = fc
    .tuple(fc.nat(2 * burst), fc.nat(5), fc.nat(5))
    .map((args) => command(`share(${args})`, (world) => world.share(...args)));
  const submit = account.map((miner) => command(`submit(${miner})`, (world) => world.submit(miner)));
  const settle = fc
    .tuple(fc.nat(50), fc.constantFrom('release' as const, 'forfeit' as const))
    .map((args) => command(`${args[1]}(${args[0]})`, (world) => world.settle(...args)));
  const crash = fc
    .tuple(wishes(burst), account, fc.nat(60))
    .map(([list, miner, ms]) =>
      command(`crash(${show(list)}; ${miner}; ${ms} ms)`, (world) => world.crash(list, miner, ms)),
    );
  const restart = fc.constant(0).map(() => command('restart', (world) => world.restart()));
  const reindex = fc.constant(0).map(() => command('reindex', (world) => world.reindex()));
  const weighted = [
    ...Array<fc.Arbitrary<Command>>(16).fill(transfers),
    ...Array<fc.Arbitrary<Command>>(10).fill(shares),
    ...Array<fc.Arbitrary<Command>>(2).fill(submit),
    ...Array<fc.Arbitrary<Command>>(2).fill(chats),
    ...[settle, settle, crash, restart, reindex],
  ];
  return fc.commands(weighted, { maxCommands: most, size: 'max' });
}

/** Runs commands on a world; every so often, and at the end, everything is looked at. */
export async function runCommands(commands: Iterable<Command>, world: World): Promise<void> {
  await fc.asyncModelRun(() => ({ model: {}, real: world }), commands);
  await world.assertWhole();
}
