import assert from 'node:assert/strict';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { keyPair } from '#shared/crypto/keys.ts';
import { makeReceipts, type Receipt } from '#shared/protocol/receipt.ts';
import { CHAIN, NETWORK, SECOND_WORKER, WORKER } from '#test/helpers/forge.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { ReceiptBook, readReceipts } from '#worker/client/receipt-book.ts';

// The grinding of the vectors is all the second worker's.
const receipts = makeReceipts(NETWORK, CHAIN.work.grinding, keyPair(CHAIN.secrets.pool));
const credited = (receipt: Receipt | null) => ({ type: 'credited', receipt }) as const;

describe('ReceiptBook', () => {
  it('keeps receipts in order over restarts, and passes over a line that was cut', async () => {
    const path = join(await tempDir(), 'worker', 'receipts.jsonl');
    for (const part of [receipts.slice(0, 2), receipts.slice(2)]) {
      const book = new ReceiptBook(path, { publicKey: SECOND_WORKER.publicKey, log: keptLog().log });
      for (const receipt of part) book.message(credited(receipt));
      book.message(credited(null));
      await book.close();
    }
    await appendFile(path, '{"unit":"00');
    assert.deepEqual(await readReceipts(path), receipts);
  });

  it('keeps none for the work of another, and says so', async () => {
    const path = join(await tempDir(), 'receipts.jsonl');
    const { log, lines } = keptLog();
    const book = new ReceiptBook(path, { publicKey: WORKER.publicKey, log });
    book.message(credited(receipts[0] as Receipt));
    await book.close();
    assert.deepEqual(await readReceipts(path), []);
    assert.equal(lines.length, 1);
  });
});
