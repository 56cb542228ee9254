import { HubApiError } from '@huggingface/hub';
import type { HubAccess } from '#coordinator/import/hub/access.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

/** What the hub or the line to it answered, as one of our codes. The token stands in no message. */
export function hubError(cause: unknown, { what, access }: { what: string; access: HubAccess }): PoolError {
  const status = cause instanceof HubApiError ? cause.statusCode : undefined;
  const ofToken = access.token === undefined ? 'set HF_TOKEN' : 'the token in HF_TOKEN may not see it';
  if (status === 401 || status === 403)
    return new PoolError(
      'UNAUTHORISED',
      `${what}: ${access.endpoint} has no such model, or it is private or asks for an agreement: ${ofToken}`,
      {},
      { cause },
    );
  if (status === 404)
    return new PoolError(
      'NOT_FOUND',
      `${what}: ${access.endpoint} has no such model or revision`,
      {},
      { cause },
    );
  const why = status === undefined ? reason(cause) : `it answered with status ${status}`;
  return new PoolError('HUB', `${what}: ${access.endpoint} cannot be used: ${why}`, {}, { cause });
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error).slice(0, 200);
  const { code } = (error.cause ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : error.message.slice(0, 200);
}
