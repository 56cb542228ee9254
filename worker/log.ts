/** Flat fields of one log line. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * What people and machines read about a running worker or miner. info: what happened; warn: it goes on, but
 * somebody should look; error: it ends; debug: every lease.
 */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** For processes whose errors say all that matters. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LEVELS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  /** One JSON object per line instead of text. */
  readonly json: boolean;
  readonly now: () => number;
}

/** A log that hands each finished line, without its end, to `write`; `serious` where somebody should look. */
export function createLog(options: LogOptions, write: (line: string, serious: boolean) => void): Log {
  const least = LEVELS.indexOf(options.level);
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (LEVELS.indexOf(level) < least) return;
      const time = new Date(options.now()).toISOString();
      write(
        options.json
          ? JSON.stringify({ time, level, message, ...fields })
          : textLine({ time, level, message }, fields),
        level === 'warn' || level === 'error',
      );
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function textLine(line: { time: string; level: LogLevel; message: string }, fields: LogFields): string {
  const mark = line.level === 'warn' || line.level === 'error' ? `${line.level}: ` : '';
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? oneLine(value) : value}`);
  return [line.time.slice(11, 19), `${mark}${oneLine(line.message)}`, ...shown].join(' ');
}

/** Control characters in network text must not reach a terminal. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').slice(0, 500);
}
