import type { ChainId } from '#shared/block/header.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

/** What an audit found wrong: where, the stable code, and why. */
export interface Finding {
  /** `B17`, `journal entry 42`, `GET /model`. */
  readonly at: string;
  readonly code: ErrorCode;
  readonly message: string;
}

const AT = 'audited';

/** Runs a check; what it refuses is named by the place it was found at. */
export function at<T>(place: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw found(place, error);
  }
}

export const onBlock = <T>(chain: ChainId, index: number, check: () => T): T => at(`${chain}${index}`, check);

export async function atAsync<T>(place: string, check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    throw found(place, error);
  }
}

/** The finding behind an error, or undefined where the audit itself could not go on. */
export function findingOf(error: unknown): Finding | undefined {
  if (!(error instanceof PoolError) || typeof error.details[AT] !== 'string') return undefined;
  return { at: error.details[AT], code: error.code, message: error.message };
}

/** Codes that tell of the line or of this machine, not of what the pool holds. */
const NOT_FOUND_OUT: readonly string[] = [
  ...['UNAVAILABLE', 'TIMEOUT', 'TOO_MANY_REQUESTS', 'UNAUTHORISED', 'PROTOCOL_VERSION', 'INTERNAL'],
  ...['STORE_IO', 'BACKEND', 'EVALUATION_CRASHED', 'METHOD_NOT_ALLOWED'],
];

function found(place: string, error: unknown): unknown {
  if (!(error instanceof PoolError) || NOT_FOUND_OUT.includes(error.code) || findingOf(error)) return error;
  // Checks of the chain begin their message with the block: where we only know that we were reading the journal,
  // say, that is the more exact place. A block that lies about its height does not choose it.
  const [, named, rest] = /^([AB]\d+): (.*)$/s.exec(error.message) ?? [];
  const isBlock = /^[AB]\d+$/.test(place);
  const where = named !== undefined && !isBlock ? named : place;
  const message = where === named ? (rest as string) : error.message;
  return new PoolError(error.code, message, { ...error.details, [AT]: where }, { cause: error });
}
