import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type Readable, Writable } from 'node:stream';
import { must, PoolError } from '#shared/errors/pool-error.ts';

export interface PasswordSource {
  /** A file whose first line is the password. */
  readonly file: string | undefined;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly err: (text: string) => void;
  readonly signal: AbortSignal;
}

/** A password that opens a keystore: from a file, or asked for without showing it. OPTION where it is empty. */
export async function askPassword(source: PasswordSource, prompt = 'Password: '): Promise<string> {
  if (source.file !== undefined) return fromFile(source.file);
  const password = await askSecret(source, prompt);
  must(password !== '', 'OPTION', 'password: expected one character or more, got none');
  return password;
}

/** As `askPassword`, asked for twice: a slip of the finger would lock the key away. */
export async function askNewPassword(source: PasswordSource): Promise<string> {
  const password = await askPassword(source, 'New password: ');
  if (source.file !== undefined) return password;
  const again = await askSecret(source, 'The same again: ');
  must(again === password, 'OPTION', 'the two passwords differ; nothing was written');
  return password;
}

/** One line from the keyboard that is not shown, or from a pipe. */
export async function askSecret(source: PasswordSource, prompt: string): Promise<string> {
  const { stdin, err, signal } = source;
  if (!stdin.isTTY) return firstLineOf(stdin);
  err(prompt);
  // Readline echoes to its output: one that shows nothing.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: silent, terminal: true, signal });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      lines.once('SIGINT', () => reject(new PoolError('UNAVAILABLE', 'stopped')));
      lines.once('close', () => reject(new PoolError('OPTION', 'expected a line, got the end of the input')));
    });
  } finally {
    lines.close();
    err('\n');
  }
}

/** Pipes are read line by line, so that password and mnemonic may come through one. */
const readers = new WeakMap<Readable, AsyncIterator<string>>();

async function firstLineOf(stdin: Readable): Promise<string> {
  let lines = readers.get(stdin);
  if (!lines) {
    lines = createInterface({ input: stdin })[Symbol.asyncIterator]();
    readers.set(stdin, lines);
  }
  const { value, done } = await lines.next();
  if (done) throw new PoolError('OPTION', 'expected a line on standard input, got its end');
  return value;
}

async function fromFile(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new PoolError('OPTION', `password file: ${file} cannot be read`, { file }, { cause });
  });
  const password = text.split(/\r?\n/, 1)[0] ?? '';
  must(password !== '', 'OPTION', `password file: expected a password in the first line of ${file}`);
  return password;
}
