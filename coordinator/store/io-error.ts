import { PoolError } from '#shared/errors/pool-error.ts';

/** The command that mends what blocks, payloads, journal or the files of the store themselves have lost. */
const RESTORE =
  'Restore a backup (`aiblock restore DIR --replace`), or move the folder away and run `aiblock init` to begin a new one.';
/** The command that mends what follows from them. */
const REINDEX = 'Stop the pool and run `aiblock reindex`, which makes it anew from blocks and journal.';

export function corrupt(message: string, cause?: unknown): PoolError {
  return new PoolError('STORE_CORRUPT', `${message}. ${RESTORE}`, {}, { cause });
}

/** Damage in what can be made anew. */
export function stale(message: string): PoolError {
  return new PoolError('STORE_CORRUPT', `${message}. ${REINDEX}`);
}

/**
 * What the file system or RocksDB threw, as STORE_LOCKED, STORE_CORRUPT or STORE_IO; a PoolError stays as it
 * is. RocksDB's binding gives EIO for everything it did not read as damage, so its text decides.
 */
export function ioError(error: unknown, doing: string): PoolError {
  if (error instanceof PoolError) return error;
  const text = textOf(error);
  if (/lock hold by current process|While lock file|\/LOCK:/i.test(text)) {
    return new PoolError('STORE_LOCKED', `${doing}: another process has it open`, {}, { cause: error });
  }
  if (isDamage(error, text)) return corrupt(`${doing}: ${text}`, error);
  return new PoolError('STORE_IO', `${doing}: ${text}${hintFor(text)}`, {}, { cause: error });
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const inner = error instanceof AggregateError ? error.errors.find(Boolean) : error.cause;
  return inner instanceof Error ? inner.message : error.message;
}

function isDamage(error: unknown, text: string): boolean {
  const codes = [error, (error as { cause?: unknown })?.cause].map((e) => (e as { code?: string })?.code);
  return (
    codes.some((code) => /CORRUPT/i.test(code ?? '')) ||
    /corrupt|checksum|bad magic|bad record|missing files?|CURRENT file|MANIFEST|\.(sst|blob|ldb)\b.*No such file/i.test(
      text,
    )
  );
}

function hintFor(text: string): string {
  if (/ENOSPC|no space/i.test(text)) return ' (free some space on this disk, then start again)';
  if (/EACCES|EPERM|EROFS|permission denied|read-only/i.test(text)) {
    return ' (the user that runs the pool must be able to write there)';
  }
  return '';
}
