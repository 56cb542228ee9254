import { setTimeout as sleep } from 'node:timers/promises';
import type { SubmissionView, UploadView } from '#shared/api/schemas.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { ApiClient } from '#worker/client/api-client.ts';
import { type Backoff, backoffMs } from '#worker/client/backoff.ts';
import { type ChangedTensor, readTensor } from '#worker/submit/changed-tensors.ts';
import type { SignedHeader } from '#worker/submit/sign-file.ts';

/** What is lost at the most where everything breaks at once; small enough for proxies that hold bodies back. */
const PART_BYTES = 64 * 1024 * 1024;
const RETRY: Backoff = { firstMs: 500, mostMs: 15_000 };
/** Failures in a row, without a byte more: two minutes. */
const MAX_FAILURES = 12;
/** Another try may go better. */
const PASSING = new Set(['UNAVAILABLE', 'TIMEOUT', 'TOO_MANY_REQUESTS', 'QUEUE_FULL', 'STATE', 'NOT_FOUND']);

export interface PartsOptions {
  readonly api: Pick<ApiClient, 'beginUpload' | 'sendPart'>;
  readonly signal: AbortSignal;
  readonly random: () => number;
  /** Bytes that the pool has or that are on their way, behind the header. */
  readonly onProgress: (sent: number) => void;
  readonly onTrouble: (error: PoolError) => void;
}

/**
 * Sends a signed file by parts, and goes on where it broke: the pool knows by its header how much of it is there. The
 * submission as the pool received it.
 */
export async function sendParts(
  file: SignedHeader<ChangedTensor>,
  options: PartsOptions,
): Promise<SubmissionView> {
  let received = -1;
  for (let failures = 0; ; ) {
    options.signal.throwIfAborted();
    try {
      let view = await options.api.beginUpload(file.header, options.signal);
      while (!view.submission) {
        if (view.received > received) failures = 0;
        received = view.received;
        options.onProgress(received);
        view = await sendPart(file, view, options);
      }
      options.onProgress(view.bytes);
      return view.submission;
    } catch (error) {
      failures += 1;
      if (!(error instanceof PoolError) || !PASSING.has(error.code) || failures >= MAX_FAILURES) throw error;
      options.onTrouble(error);
      await sleep(waitMs(error, failures, options.random), undefined, { signal: options.signal });
    }
  }
}

async function sendPart(
  file: SignedHeader<ChangedTensor>,
  { id, received, bytes }: UploadView,
  { api, signal, onProgress }: PartsOptions,
): Promise<UploadView> {
  const end = Math.min(bytes, received + PART_BYTES);
  const body = async function* () {
    let sent = received;
    for await (const piece of bytesOf(file.order, received, end)) {
      sent += piece.length;
      onProgress(sent);
      yield piece;
    }
  };
  return api.sendPart({ id, offset: received, body: body(), bytes: end - received, signal });
}

/** Bytes [from, to) of the tensors one behind the other. */
async function* bytesOf(
  tensors: readonly ChangedTensor[],
  from: number,
  to: number,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const tensor of tensors) {
    const length = tensor.end - tensor.start;
    const [first, last] = [Math.max(0, from - at), Math.min(length, to - at)];
    at += length;
    if (first >= last) continue;
    yield* readTensor({ ...tensor, end: tensor.start + last }, first);
  }
}

function waitMs({ details }: PoolError, failures: number, random: () => number): number {
  const asked = details.retry_after_seconds;
  return typeof asked === 'number' ? asked * 1000 : backoffMs(failures - 1, RETRY, random);
}
