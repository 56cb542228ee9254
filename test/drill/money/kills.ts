import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, open } from 'node:fs/promises';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { JournalAudit } from '#shared/block/audit-journal.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { ACCOUNTS } from '#test/drill/money/accounts.ts';
import { MoneyPool } from '#test/helpers/money-pool.ts';

const VICTIM = fileURLToPath(new URL('./victim.ts', import.meta.url));
/** A kill falls within this time after the victim did what was waited for. */
const SPREAD_MS = 600;
/** A recovery of so small a store takes some tens of milliseconds. */
const RECOVERY_MS = 40;
const COMMIT_MS = 12;

interface Line {
  readonly opening?: true;
  readonly open?: number;
  readonly transfer?: string;
  readonly seq?: number;
  readonly shares?: readonly string[];
  readonly begins?: string;
  readonly committed?: string;
  readonly height?: number;
}

export interface KillOptions {
  /** Folder of a pool to begin from. */
  readonly template: string;
  readonly dir: string;
  readonly kills: number;
  readonly seed: number;
}

/** When a victim is killed: while it opens the store, in a commit, or at any time. */
type Moment = 'recovery' | 'commit' | 'any';

/**
 * Kills processes that move money, one after another on the same store, and looks after each at all that any of them
 * had acknowledged. What the driver heard is in its own log, by which it judges.
 */
export async function killMany(options: KillOptions) {
  const driver = await Driver.start(options);
  try {
    while (driver.found.kills < options.kills) await driver.round();
    return { found: driver.found, faults: driver.faults };
  } finally {
    await driver.close();
  }
}

class Driver {
  readonly found = {
    kills: 0,
    'kills in a recovery': 0,
    'kills in a commit': 0,
    'transfers acknowledged': 0,
    'shares acknowledged': 0,
    'commits acknowledged': 0,
  };
  readonly faults = {
    'acknowledged transfers lost or moved': 0,
    'acknowledged shares lost': 0,
    'acknowledged commits lost': 0,
    'entries that break a rule, or came twice': 0,
    'balances or totals that differ': 0,
    'processes that ended by themselves': 0,
  };
  readonly #dir: string;
  readonly #log: Awaited<ReturnType<typeof open>>;
  readonly #uniform: () => number;
  readonly #transfers = new Map<string, number>();
  readonly #shares = new Set<string>();
  readonly #commits = new Map<string, number>();
  /** What the next look has to find: what was heard since the last one, and a few of before. */
  #heard: Line[] = [];
  #audit: JournalAudit | undefined;

  private constructor(dir: string, log: Awaited<ReturnType<typeof open>>, seed: number) {
    this.#dir = dir;
    this.#log = log;
    this.#uniform = seededUniform(seed);
  }

  static async start({ template, dir, seed }: KillOptions): Promise<Driver> {
    const store = join(dir, 'victim');
    await cp(template, store, { recursive: true });
    // Something to spend for those that pay.
    const pool = await MoneyPool.open(store);
    for (const [i, key] of ACCOUNTS.slice(0, 4).entries())
      await pool.commit(await pool.prepare(key, 500 + i));
    await pool.close();
    return new Driver(store, await open(join(dir, 'acknowledged'), 'a'), seed);
  }

  async close(): Promise<void> {
    await this.#log.close();
  }

  /** One or two kills: a store that was left by one is opened by the next, which may be killed over it. */
  async round(): Promise<void> {
    const draw = this.#uniform();
    await this.#kill(draw < 0.4 ? 'commit' : 'any');
    if (this.#uniform() < 0.5) await this.#kill('recovery');
    await this.#look();
  }

  async #kill(moment: Moment): Promise<void> {
    const child = spawn(execPath, ['--import', 'tsx', VICTIM, this.#dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: Line[] = [];
    const heard = this.#listen(child, lines);
    await this.#wait(child, lines, moment);
    if (child.exitCode !== null) this.#fault('processes that ended by themselves', child.exitCode);
    child.kill('SIGKILL');
    await heard;
    this.found.kills += 1;
    if (!lines.some((line) => line.open !== undefined)) this.found['kills in a recovery'] += 1;
    const last = lines.findLast((line) => line.begins ?? line.committed);
    if (last?.begins !== undefined) this.found['kills in a commit'] += 1;
    await this.#note(lines);
  }

  /** All that it said, to the last line before it died. */
  async #listen(child: ChildProcess, lines: Line[]): Promise<void> {
    const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    reader.on('line', (line) => lines.push(JSON.parse(line) as Line));
    await Promise.all([once(child, 'exit'), once(reader, 'close')]);
  }

  async #wait(child: ChildProcess, lines: readonly Line[], moment: Moment): Promise<void> {
    const until = async (count: number, of: (line: Line) => boolean) => {
      while (lines.filter(of).length < count && child.exitCode === null) await sleep(1);
    };
    await until(1, ({ opening }) => opening === true);
    if (moment === 'recovery') return sleep(this.#uniform() * RECOVERY_MS);
    await until(1, ({ open: seq }) => seq !== undefined);
    if (moment === 'any') return sleep(this.#uniform() * SPREAD_MS);
    // Not always the first, which is slow: nothing is compiled yet.
    await until(1 + Math.floor(this.#uniform() * 4), ({ begins }) => begins !== undefined);
    await sleep(this.#uniform() * COMMIT_MS);
  }

  /** On the disk before it is looked for. */
  async #note(lines: readonly Line[]): Promise<void> {
    await this.#log.write(`${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
    await this.#log.datasync();
    this.#heard.push(...lines);
    for (const { transfer, seq, shares = [], committed, height } of lines) {
      if (transfer !== undefined) this.#transfers.set(transfer, seq as number);
      if (committed !== undefined) this.#commits.set(committed, height as number);
      for (const share of shares) this.#shares.add(share);
    }
    this.found['transfers acknowledged'] = this.#transfers.size;
    this.found['shares acknowledged'] = this.#shares.size;
    this.found['commits acknowledged'] = this.#commits.size;
  }

  /** Opens the store as the next process would, and looks for everything that was heard. */
  async #look(): Promise<void> {
    const pool = await MoneyPool.open(this.#dir);
    try {
      await this.#lookAtJournal(pool);
      const heard = this.#heard;
      this.#heard = [];
      for (const { transfer, shares, committed } of heard) {
        if (transfer !== undefined) await this.#lookForTransfer(pool, transfer);
        if (shares) await this.#lookForShares(pool, shares);
        if (committed !== undefined) await this.#lookForCommit(pool, committed);
      }
    } finally {
      await pool.close();
    }
  }

  /** Goes on from where the last look ended: what stood there then must be what stands there now. */
  async #lookAtJournal(pool: MoneyPool): Promise<void> {
    this.#audit ??= new JournalAudit(pool.chain.networkId);
    const audit = this.#audit;
    try {
      for (;;) {
        const entries = await pool.ledger.entries(audit.journal.seq, 1_000);
        if (entries.length === 0) break;
        for (const bytes of entries) audit.append(bytes);
      }
      audit.checkAgainst({ journal: pool.ledger.journal, ...pool.ledger.totals });
    } catch (error) {
      this.#fault('entries that break a rule, or came twice', error);
    }
    const balances = await pool.ledger.balances(audit.balances.keys());
    for (const [address, balance] of audit.balances)
      if (balances.get(address) !== balance) this.#fault('balances or totals that differ', address);
    const { submissionsSealed } = pool.chain;
    if (pool.units.places.evaluation.seq !== submissionsSealed)
      this.#fault('balances or totals that differ', 'evaluation units and seals');
  }

  async #lookForTransfer(pool: MoneyPool, digest: string): Promise<void> {
    const proof = await pool.ledger.transfer(fromHex(digest, 32));
    const isThere =
      proof?.entry.seq === this.#transfers.get(digest) &&
      toHex(proof?.entry.ref ?? new Uint8Array()) === digest;
    if (!isThere) this.#fault('acknowledged transfers lost or moved', digest);
  }

  async #lookForShares(pool: MoneyPool, shares: readonly string[]): Promise<void> {
    const credited = await pool.units.areCredited(shares.map((share) => fromHex(share, 32)));
    for (const [i, isThere] of credited.entries())
      if (!isThere) this.#fault('acknowledged shares lost', shares[i]);
  }

  async #lookForCommit(pool: MoneyPool, id: string): Promise<void> {
    const record = await pool.submissions.get(fromHex(id, 32));
    const height = this.#commits.get(id) as number;
    const isThere =
      record?.state === 'paid' && record.blocks?.last === height && height <= pool.chain.height('B');
    if (!isThere) this.#fault('acknowledged commits lost', id);
  }

  #fault(what: keyof Driver['faults'], why: unknown): void {
    this.faults[what] += 1;
    console.error(`${what}: ${why instanceof Error ? why.message : String(why)}`);
  }
}
