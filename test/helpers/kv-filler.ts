/** Writes to the store in argv[2] until that fails; prints how many batches were acknowledged, and the code. */
import { argv } from 'node:process';
import { bucketKey } from '#coordinator/store/keys.ts';
import { put } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

const VALUE_BYTES = 64 * 1024;
const kv = await openRocksKv(argv[2] as string);
let acknowledged = 0;
let code = '';
while (code === '') {
  const value = new Uint8Array(VALUE_BYTES).fill(acknowledged);
  await kv.batch([put(bucketKey(0x10, acknowledged), value)], { durable: true }).then(
    () => acknowledged++,
    (error: unknown) => {
      code = PoolError.from(error).code;
    },
  );
}
await kv.close().catch(() => undefined);
console.log(JSON.stringify({ acknowledged, code }));
