/**
 * A process for the crash tests: writes durable batches to the store in argv[2] until it is killed, several at
 * once, and appends each number to the log in argv[3], with fsync, only after the store acknowledged it.
 * Batch n is: n → n under "a" and "b", "head" → n, and from time to time bulk that is not durable.
 */
import { open } from 'node:fs/promises';
import { argv } from 'node:process';
import { bucketKey } from '#coordinator/store/keys.ts';
import { put } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { u64be } from '#shared/crypto/bytes.ts';

const [, , dir, logPath] = argv as [string, string, string, string];
const WRITERS = 3;
const BULK_BYTES = 1 << 20;

const kv = await openRocksKv(dir);
const head = await kv.get(bucketKey(0x10, 0));
let next = head ? Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0)) + 1 : 1;
const log = await open(logPath, 'a');
await log.write('open\n');

async function writer(): Promise<void> {
  for (;;) {
    const n = next++;
    const value = u64be(n);
    const ops = [
      put(bucketKey(0x10, 1, n), value),
      put(bucketKey(0x10, 2, n), value),
      put(bucketKey(0x10, 0), value),
    ];
    const bulk = put(bucketKey(0x11, n % 64), new Uint8Array(n % 8 === 0 ? BULK_BYTES : 1).fill(n));
    // Both are called in one turn, so that the batches take effect in the order of their numbers.
    await Promise.all([kv.batch([bulk], { durable: false }), kv.batch(ops, { durable: true })]);
    await log.write(`${n}\n`);
    await log.datasync();
  }
}
await Promise.all(Array.from({ length: WRITERS }, writer));
