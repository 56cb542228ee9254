import { appendFile, mkdir, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { decodeUnit } from '#shared/block/work-log.ts';
import { equalBytes, fromHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { type Receipt, receiptSchema } from '#shared/protocol/receipt.ts';
import type { Work } from '#worker/client/connection.ts';
import type { Log } from '#worker/log.ts';
import type { WorkRole } from '#worker/runner.ts';

/** Some 20,000 receipts; the older half of twice as many is forgotten. */
const FILE_BYTES = 16 * 2 ** 20;

/** The pool's receipts for this worker's work, one JSON object per line, so that it need not believe the pool's figures. */
export class ReceiptBook implements WorkRole {
  readonly #path: string;
  readonly #publicKey: Uint8Array;
  readonly #log: Log;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string, { publicKey, log }: { publicKey: Uint8Array; log: Log }) {
    this.#path = path;
    this.#publicKey = publicKey;
    this.#log = log;
  }

  connected(): void {}
  disconnected(): void {}

  message(message: Work): void {
    if (message.type !== 'credited' || !message.receipt) return;
    const { receipt } = message;
    this.#writing = this.#writing
      .then(() => this.#keep(receipt))
      .catch((error: unknown) =>
        this.#log.warn('a receipt could not be kept', { file: this.#path, why: (error as Error).message }),
      );
  }

  close(): Promise<void> {
    return this.#writing;
  }

  async #keep(receipt: Receipt): Promise<void> {
    const { worker } = decodeUnit(fromHex(receipt.unit, receipt.unit.length / 2));
    must(equalBytes(worker, this.#publicKey), 'SIGNATURE', 'it is for the work of another worker');
    await mkdir(dirname(this.#path), { recursive: true });
    const bytes = await stat(this.#path).then(
      ({ size }) => size,
      () => 0,
    );
    if (bytes > FILE_BYTES) await rename(this.#path, olderPath(this.#path));
    await appendFile(this.#path, `${JSON.stringify(receipt)}\n`);
  }
}

/** All receipts that are kept, oldest first; a last line that was cut off is passed over. */
export async function readReceipts(path: string): Promise<Receipt[]> {
  const texts = await Promise.all(
    [olderPath(path), path].map((file) => readFile(file, 'utf8').catch(() => '')),
  );
  return texts
    .join('')
    .split('\n')
    .flatMap((line) => {
      const parsed = receiptSchema.safeParse(tryJson(line));
      return parsed.success ? [parsed.data] : [];
    });
}

const olderPath = (path: string) => `${path}.older`;

function tryJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
