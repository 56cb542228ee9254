import type { z } from 'zod';
import {
  type AccountView,
  accountSchema,
  type BalanceView,
  balanceSchema,
} from '#shared/api/account-schemas.ts';
import {
  type ClaimView,
  claimSchema,
  type ModelView,
  modelSchema,
  type SubmissionView,
  submissionSchema,
  type UploadView,
  uploadSchema,
} from '#shared/api/schemas.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { httpUrl } from '#worker/client/urls.ts';

/** A call that stands still this long is given up. */
const CALL_TIMEOUT_MS = 30_000;
/** An upload may take long on a slow line; the coordinator has limits of its own. */
const UPLOAD_TIMEOUT_MS = 30 * 60_000;
/** A refusal is a few hundred bytes; more is not one of ours. */
const MAX_ERROR_CHARS = 100_000;

export interface PayloadRequest {
  /** Session token of a worker, for payloads that are not yet on the chain. */
  readonly bearer?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The first byte that is wanted; 0 unless given. */
  readonly start?: number | undefined;
}

export interface Upload {
  readonly body: AsyncIterable<Uint8Array>;
  readonly totalBytes: number;
  readonly signal?: AbortSignal | undefined;
}

export interface UploadPart {
  /** Submission id, hex. */
  readonly id: string;
  /** Place of the first byte behind the header. */
  readonly offset: number;
  readonly body: AsyncIterable<Uint8Array>;
  readonly bytes: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The coordinator's public API. Refusals reject with the coordinator's own PoolError; a coordinator that is
 * not there rejects with UNAVAILABLE and the URL that was tried.
 */
export class ApiClient {
  readonly coordinator: string;

  constructor(coordinator: string) {
    this.coordinator = coordinator;
    httpUrl(coordinator, ''); // a bad address fails here, not in the first call
  }

  model(signal?: AbortSignal): Promise<ModelView> {
    return this.json('model', modelSchema, { signal });
  }

  submission(id: string, signal?: AbortSignal): Promise<SubmissionView> {
    return this.json(`submissions/${id}`, submissionSchema, { signal });
  }

  balance(address: string, signal?: AbortSignal): Promise<BalanceView> {
    return this.json(`balance/${address}`, balanceSchema, { signal });
  }

  account(address: string, signal?: AbortSignal): Promise<AccountView> {
    return this.json(`accounts/${address}`, accountSchema, { signal });
  }

  /** `POST` of JSON; the answer is checked against its schema. */
  async post<T>(
    path: string,
    body: unknown,
    schema: z.ZodType<T>,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    const response = await this.#call(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: withTimeout(options.signal, CALL_TIMEOUT_MS),
    });
    return parseAnswer(response, schema);
  }

  /** `POST` of bytes; the answer is checked against its schema. */
  async postBytes<T>(
    path: string,
    { bytes, type }: { bytes: Uint8Array; type: string },
    schema: z.ZodType<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const response = await this.#call(path, {
      method: 'POST',
      headers: { 'content-type': type },
      body: bytes as Uint8Array<ArrayBuffer>,
      signal: withTimeout(signal, UPLOAD_TIMEOUT_MS),
    });
    return parseAnswer(response, schema);
  }

  /** Streams a signed safetensors file; the coordinator's view of the new submission. */
  async uploadParameters(upload: Upload): Promise<SubmissionView> {
    const response = await this.#call('upload_parameters', {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(upload.totalBytes) },
      body: ReadableStream.from(upload.body),
      duplex: 'half',
      signal: withTimeout(upload.signal, UPLOAD_TIMEOUT_MS),
    });
    return parseAnswer(response, submissionSchema);
  }

  /** Notes that weights are ready, before anybody sees them. */
  claim(claim: Uint8Array, signal?: AbortSignal): Promise<ClaimView> {
    return this.post('claims', { claim: toHex(claim) }, claimSchema, { signal });
  }

  /** Begins an upload by parts from the header of a signed file, or tells how far it is. */
  async beginUpload(header: Uint8Array, signal?: AbortSignal): Promise<UploadView> {
    const response = await this.#call('uploads', {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: header as Uint8Array<ArrayBuffer>,
      signal: withTimeout(signal, CALL_TIMEOUT_MS),
    });
    return parseAnswer(response, uploadSchema);
  }

  /** The next bytes of an upload by parts; with the last ones the view names the submission. */
  async sendPart({ id, offset, body, bytes, signal }: UploadPart): Promise<UploadView> {
    const response = await this.#call(`uploads/${id}/parts/${offset}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(bytes) },
      body: ReadableStream.from(body),
      duplex: 'half',
      signal: withTimeout(signal, UPLOAD_TIMEOUT_MS),
    });
    return parseAnswer(response, uploadSchema);
  }

  /** The bytes of a payload, from `start` on, as they arrive. The caller checks their hash. */
  async payload(hash: string, request: PayloadRequest = {}): Promise<AsyncIterable<Uint8Array>> {
    const { bearer, signal, start = 0 } = request;
    const response = await this.#call(`payload/${hash}`, {
      headers: {
        ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
        ...(start > 0 && { range: `bytes=${start}-` }),
      },
      ...(signal && { signal }),
    });
    must(response.body, 'UNAVAILABLE', () => `${response.url}: expected a body, got none`);
    const partial = response.status === 206;
    must(partial === start > 0, 'UNAVAILABLE', () => `${response.url}: expected the bytes from ${start} on`);
    return response.body;
  }

  /** `GET` of any other JSON address, checked against its schema. */
  async json<T>(
    path: string,
    schema: z.ZodType<T>,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    const response = await this.#call(path, { signal: withTimeout(options.signal, CALL_TIMEOUT_MS) });
    return parseAnswer(response, schema);
  }

  async #call(path: string, init: RequestInit): Promise<Response> {
    const url = httpUrl(this.coordinator, path);
    let response: Response;
    try {
      response = await fetch(url, { redirect: 'error', ...init });
    } catch (cause) {
      throw unreachable(url.href, cause, init.signal);
    }
    if (response.ok) return response;
    throw await refusal(response);
  }
}

function withTimeout(signal: AbortSignal | undefined, ms: number): AbortSignal {
  const timeout = AbortSignal.timeout(ms);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

/** What `fetch` throws when there is no answer, in the pool's words. An abort by the caller stays an abort. */
function unreachable(url: string, error: unknown, signal?: AbortSignal | null): unknown {
  const timedOut = (error as Error).name === 'TimeoutError';
  if (signal?.aborted && !timedOut) return error;
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  const why = timedOut ? 'no answer in time' : (cause?.code ?? cause?.message ?? (error as Error).message);
  return new PoolError(
    'UNAVAILABLE',
    `${url}: the coordinator does not answer (${why})`,
    { url },
    { cause: error },
  );
}

async function parseAnswer<T>(response: Response, schema: z.ZodType<T>): Promise<T> {
  const json = await response.json().catch((cause: unknown) => {
    throw new PoolError('UNAVAILABLE', `${response.url}: expected JSON`, {}, { cause });
  });
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new PoolError(
    'PROTOCOL_VERSION',
    `${response.url}: not the answer this version expects: ${issue?.path.join('.')}: ${issue?.message}`,
  );
}

async function refusal(response: Response): Promise<PoolError> {
  const text = (await response.text().catch(() => '')).slice(0, MAX_ERROR_CHARS);
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    if (error) return PoolError.fromObject(error);
  } catch {
    // not ours: a proxy's page, perhaps
  }
  const code = response.status === 404 ? 'NOT_FOUND' : 'UNAVAILABLE';
  return new PoolError(code, `${response.url}: answered ${response.status} without an error of the pool`);
}
