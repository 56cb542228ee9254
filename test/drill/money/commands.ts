import fc, { type AsyncCommand } from 'fast-check';
import { ACCOUNTS, type TransferKind, type Wish, type World } from '#test/drill/money/world.ts';

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
const wish: fc.Arbitrary<Wish> = fc.record({ kind, from: account, to: account, amount });
const wishes = (most: number) => fc.array(wish, { minLength: 1, maxLength: most, size: 'max' });
const show = (list: readonly Wish[]) =>
  list.map(({ kind, from, to, amount }) => `${from}→${to} ${amount} ${kind}`).join(', ');

/** Sequences of at most `most` commands, with bursts of at most `burst` transfers. */
export function moneyCommands(most: number, burst: number): fc.Arbitrary<Iterable<Command>> {
  const transfers = wishes(burst).map((list) =>
    command(`transfer(${show(list)})`, (world) => world.transfer(list)),
  );
  const shares = fc
    .tuple(fc.nat(burst), fc.nat(5), fc.nat(5))
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
    ...Array<fc.Arbitrary<Command>>(9).fill(transfers),
    ...Array<fc.Arbitrary<Command>>(4).fill(shares),
    ...Array<fc.Arbitrary<Command>>(2).fill(submit),
    ...[settle, crash, restart, reindex],
  ];
  return fc.commands(weighted, { maxCommands: most, size: 'max' });
}

/** Runs commands on a world; every so often, and at the end, everything is looked at. */
export async function runCommands(commands: Iterable<Command>, world: World): Promise<void> {
  await fc.asyncModelRun(() => ({ model: {}, real: world }), commands);
  await world.assertWhole();
}
