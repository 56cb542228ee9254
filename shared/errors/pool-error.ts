import { ERRORS, type ErrorCode } from '#shared/errors/catalogue.ts';

export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>;
export interface ErrorObject {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/**
 * The pool's one error class. `message` says what was expected and what came; `details` are flat and safe
 * to show to the caller. It crosses processes by `toObject` and `fromObject`.
 */
export class PoolError extends Error {
  override readonly name = 'PoolError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return ERRORS[this.code][0];
  }

  toObject(): ErrorObject {
    return { code: this.code, message: this.message, details: this.details };
  }

  /**
   * Unknown codes and malformed objects become `INTERNAL`, and only flat details are taken over: what crosses a
   * process is not believed.
   */
  static fromObject(value: unknown): PoolError {
    const { code, message, details } = (value ?? {}) as Partial<ErrorObject>;
    const known = typeof code === 'string' && Object.hasOwn(ERRORS, code);
    return new PoolError(
      known ? code : 'INTERNAL',
      typeof message === 'string' ? message.slice(0, MAX_TEXT) : 'unknown error',
      flatDetails(details),
    );
  }

  /** A PoolError stays as it is; anything else is a fault of ours and keeps its text to the log only. */
  static from(error: unknown): PoolError {
    if (error instanceof PoolError) return error;
    return new PoolError('INTERNAL', 'internal error', {}, { cause: error });
  }
}

const MAX_TEXT = 1000;
const MAX_DETAILS = 32;

/** Of foreign details only what may be shown, stored and logged: few, flat, short. */
function flatDetails(details: unknown): ErrorDetails {
  if (typeof details !== 'object' || details === null || Array.isArray(details)) return {};
  const flat = Object.entries(details).filter(
    ([, value]) => value === null || ['string', 'boolean'].includes(typeof value) || Number.isFinite(value),
  );
  return Object.fromEntries(
    flat
      .slice(0, MAX_DETAILS)
      .map(([key, value]) => [key, typeof value === 'string' ? value.slice(0, MAX_TEXT) : value]),
  );
}

/** Throws `code` unless `condition` holds. The message is made only when it is needed. */
export function must(
  condition: unknown,
  code: ErrorCode,
  message: string | (() => string),
  details?: ErrorDetails,
): asserts condition {
  if (!condition) throw new PoolError(code, typeof message === 'string' ? message : message(), details);
}
