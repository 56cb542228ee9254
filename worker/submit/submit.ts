import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ModelView, SubmissionView } from '#shared/api/schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { isFinal, type SubmissionState } from '#shared/lifecycle.ts';
import { claimOf } from '#shared/protocol/submission.ts';
import type { ApiClient } from '#worker/client/api-client.ts';
import type { BegunUploads } from '#worker/submit/begun-uploads.ts';
import { changedTensors } from '#worker/submit/changed-tensors.ts';
import type { LocalTensor } from '#worker/submit/local-tensors.ts';
import { sendParts } from '#worker/submit/send-parts.ts';
import { baseOf, type ClaimedBase, signFile } from '#worker/submit/sign-file.ts';

const POLL_MS = 1_000;
/** A pool that restarts is waited for. */
const MAX_POLL_FAILURES = 60;

/** What a submission tells while it goes its way; `--json` prints these as they are. */
export type SubmitEvent =
  | { readonly type: 'hashing'; readonly done: number; readonly total: number }
  | {
      readonly type: 'sending';
      readonly submission: string;
      readonly done: number;
      readonly total: number;
    }
  | {
      readonly type: 'signed';
      readonly submission: string;
      readonly address: string;
      readonly tensors: number;
      /** Not sent, as the head has them as they are. */
      readonly unchanged: number;
      readonly bytes: number;
      /** An upload that broke off before goes on. */
      readonly resumed: boolean;
    }
  | { readonly type: 'trouble'; readonly code: string; readonly message: string }
  | { readonly type: 'state'; readonly submission: SubmissionView }
  /** No worker of the pool can judge it now. */
  | {
      readonly type: 'waiting';
      readonly submission: string;
      readonly reason: string;
      readonly message: string;
    };

export interface SubmitParts {
  readonly api: Pick<ApiClient, 'submission' | 'claim' | 'beginUpload' | 'sendPart'>;
  readonly begun: BegunUploads;
  readonly key: KeyPair;
  readonly report: (event: SubmitEvent) => void;
  readonly random: () => number;
}

export interface Submitting {
  readonly tensors: readonly LocalTensor[];
  readonly model: ModelView;
  /** Model root that the weights were trained from, hex; the head's where it is left out. */
  readonly base?: string | undefined;
}

/** Hashes, signs, claims and sends what differs from the head; the submission as the pool received it. */
export async function submit(
  { tensors, model, base }: Submitting,
  parts: SubmitParts,
  signal: AbortSignal,
): Promise<SubmissionView> {
  const { report, key, begun } = parts;
  const head = new Map(model.tensors.map(({ name, hash }) => [name, hash]));
  const total = tensors.reduce((sum, { start, end }) => sum + end - start, 0);
  let done = 0;
  const onBytes = (bytes: number) => {
    done += bytes;
    report({ type: 'hashing', done, total });
  };
  const changed = await changedTensors(tensors, head, { onBytes, signal });
  must(
    changed.length > 0,
    'WEIGHTS_UNCHANGED',
    'every tensor equals the one at the head: there is nothing to send',
  );
  const salt = randomBytes(32).toString('hex');
  const now = { ...baseOf(model), salt, ...(base !== undefined && { root: base }) };
  const before = base === undefined ? await begun.find(changed, now) : undefined;
  const used = before ?? now;
  const file = signFile(changed, used, key);
  if (!before) await begun.remember(changed, now);
  await claim(file.id, used, parts, signal);
  const bytes = file.totalBytes - file.header.length;
  report({
    type: 'signed',
    submission: file.id,
    address: key.address,
    tensors: changed.length,
    unchanged: tensors.length - changed.length,
    bytes,
    resumed: before !== undefined,
  });
  const submission = await sendParts(file, {
    ...{ api: parts.api, signal, random: parts.random },
    onProgress: (sent) => report({ type: 'sending', submission: file.id, done: sent, total: bytes }),
    onTrouble: ({ code, message }) => report({ type: 'trouble', code, message }),
  });
  await begun.forget(changed);
  return submission;
}

/** From now on the bytes are ours, whoever sends them first. Without it they are from when the pool has the header. */
async function claim(
  id: string,
  { network, salt }: ClaimedBase,
  { api, report }: SubmitParts,
  signal: AbortSignal,
): Promise<void> {
  try {
    await api.claim(claimOf(fromHex(network, 32), fromHex(id, 32), fromHex(salt, 32)), signal);
  } catch (error) {
    if (!(error instanceof PoolError)) throw error;
    report({ type: 'trouble', code: error.code, message: error.message });
  }
}

/** Reports every state of a submission until the last one, and in each what workers it lacks, once per change. */
export async function follow(
  first: SubmissionView,
  { api, report }: Pick<SubmitParts, 'api' | 'report'>,
  signal: AbortSignal,
): Promise<SubmissionView> {
  let shown = '';
  let told = '';
  for (let [view, failures] = [first, 0]; ; ) {
    if (view.state !== shown) {
      report({ type: 'state', submission: view });
      told = '';
    }
    shown = view.state;
    if (view.waiting && view.waiting.message !== told) {
      report({ type: 'waiting', submission: view.id, ...view.waiting });
      told = view.waiting.message;
    }
    if (isFinal(view.state as SubmissionState)) return view;
    await sleep(POLL_MS, undefined, { signal });
    try {
      view = await api.submission(view.id, signal);
      failures = 0;
    } catch (error) {
      failures += 1;
      if (!(error instanceof PoolError) || failures >= MAX_POLL_FAILURES) throw error;
      if (failures === 1) report({ type: 'trouble', code: error.code, message: error.message });
    }
  }
}
