/**
 * A process for the crash tests: credits shares of the numbers from argv[4] on in the log of the store in argv[2]
 * until it is killed, many at once and each of them twice, and writes each number to the log in argv[3], with fsync,
 * only after it was acknowledged.
 */
import { open } from 'node:fs/promises';
import { argv } from 'node:process';
import { ShareLog } from '#coordinator/ledger/share-log.ts';
import { WorkUnits } from '#coordinator/ledger/work-units.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { makeReceipts } from '#shared/protocol/receipt.ts';
import { MINER, NETWORK } from '#test/helpers/forge.ts';
import { refOfShare } from '#test/helpers/share-refs.ts';

const [, , dir, logPath, first] = argv as [string, string, string, string, string];
const SENDERS = 200;

const kv = await openRocksKv(dir);
const units = await WorkUnits.open(kv, NETWORK);
const shares = new ShareLog({
  ...{ kv, units, now: Date.now },
  receipts: (written) => makeReceipts(NETWORK, written, MINER),
});
const log = await open(logPath, 'a');
await log.write('open\n');
let next = Number(first);

async function sender(): Promise<void> {
  for (;;) {
    const n = next++;
    const share = { worker: MINER.publicKey, address: MINER.address, credit: 1n, ref: refOfShare(n) };
    const added = await Promise.allSettled([shares.add(share), shares.add(share)]);
    // Neither of them where it was written as the process before this one was killed.
    const count = added.filter(({ status }) => status === 'fulfilled').length;
    if (count > 1) await log.write(`twice ${n}\n`);
    await log.write(`${n}\n`);
    await log.datasync();
  }
}
await Promise.all(Array.from({ length: SENDERS }, sender));
