/**
 * A process to be killed: moves money in the pool in argv[2] by everything that does, as fast as it can, and prints a
 * line for each thing only once it is acknowledged. Lines are JSON: `{"opening":true}`, `{"open":seq}`,
 * `{"transfer":digest,"seq":n}`, `{"shares":[hash, …]}`, `{"begins":id}` before a commit, `{"committed":id,"height":n}`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { argv } from 'node:process';
import { toHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { ACCOUNTS } from '#test/drill/money/accounts.ts';
import { MoneyPool } from '#test/helpers/money-pool.ts';
import { signTransfer } from '#worker/wallet/send.ts';

const NEVER = 4_000_000_000n;
const SHARES_AT_ONCE = 8;

/** In the pipe, whatever happens to us next. */
const say = (line: object) => void writeSync(1, `${JSON.stringify(line)}\n`);

say({ opening: true });
const pool = await MoneyPool.open(argv[2] as string);
say({ open: pool.ledger.journal.seq });
await Promise.all([...ACCOUNTS.slice(0, 4).map(spend), share(), submit()]);

/** The last one again, as a client does that got no answer; then one after another. */
async function spend(key: KeyPair): Promise<void> {
  const { address } = key;
  const made = await pool.ledger.nonce(address);
  for (let nonce = made > 0n ? made - 1n : 0n; ; nonce++) {
    // The same transfer for the same nonce, whoever asks when.
    const to = ACCOUNTS[(Number(nonce % 3n) + 4) % ACCOUNTS.length] as KeyPair;
    const transfer = { from: address, to: to.address, amount: 1n + (nonce % 50n), nonce, expiry: NEVER };
    const { entry, digest } = await pool.transfers.submit(signTransfer(pool.chain.networkId, transfer, key));
    say({ transfer: toHex(digest), seq: entry.seq });
  }
}

async function share(): Promise<void> {
  for (;;) {
    const hashes = Array.from(
      { length: SHARES_AT_ONCE },
      () => new Uint8Array(createHash('sha256').update(randomBytes(16)).digest()),
    );
    await pool.share(hashes);
    say({ shares: hashes.map(toHex) });
  }
}

async function submit(): Promise<void> {
  for (;;) {
    const value = 1_000 + pool.chain.height('B') + Math.random();
    const record = await pool.prepare(ACCOUNTS[0] as KeyPair, value);
    say({ begins: toHex(record.id) });
    const height = await pool.commit(record);
    say({ committed: toHex(record.id), height });
  }
}
