import { pino } from 'pino';

export type LogFields = Readonly<Record<string, unknown>>;

/**
 * The coordinator's log: JSON lines. error: a person must look; warn: something went wrong and was handled; info:
 * what an operator follows; debug: what a developer asks for. Never secrets, never raw text from the network.
 */
export interface Log {
  error(message: string, fields?: LogFields, error?: unknown): void;
  warn(message: string, fields?: LogFields, error?: unknown): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  child(module: string): Log;
}

export function createLog(level: string, write: (line: string) => void): Log {
  return wrap(pino({ level, base: null }, { write }));
}

function wrap(logger: pino.Logger): Log {
  const withError = (fields: LogFields = {}, error?: unknown) =>
    error === undefined ? fields : { ...fields, err: error };
  return {
    error: (message, fields, error) => logger.error(withError(fields, error), message),
    warn: (message, fields, error) => logger.warn(withError(fields, error), message),
    info: (message, fields) => logger.info(withError(fields), message),
    debug: (message, fields) => logger.debug(withError(fields), message),
    child: (module) => wrap(logger.child({ module })),
  };
}
