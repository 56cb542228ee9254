import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { httpServer, listen } from '#coordinator/http/listen.ts';
import { removeAccess, writeAccess } from '#coordinator/operator/access-file.ts';
import type { Operations } from '#coordinator/operator/operations.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

const MAX_BODY_BYTES = 64 * 1024;

export interface OperatorServerOptions {
  readonly dataDir: string;
  readonly operations: Operations;
  readonly onFault: (message: string, error: unknown) => void;
}

/**
 * The operator API: `POST /NAME` with JSON, on a free port of loopback, behind a credential that is made anew at each
 * start and stands in the data folder. Who can read the data folder is the operator. Nothing of it is reachable
 * through the pool's own address. Resolves with its end.
 */
export async function serveOperator(options: OperatorServerOptions): Promise<() => Promise<void>> {
  const { dataDir } = options;
  const credential = randomBytes(32).toString('hex');
  const server = httpServer(
    (request, response) => void answer(request, response, { ...options, credential }),
  );
  const { url, close } = await listen(server, { host: '127.0.0.1', port: 0 });
  await writeAccess(dataDir, { url, credential });
  return async () => {
    await removeAccess(dataDir);
    await close();
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { credential, operations, onFault }: OperatorServerOptions & { credential: string },
): Promise<void> {
  try {
    const given = Buffer.from(request.headers.authorization ?? '');
    const wanted = Buffer.from(`Bearer ${credential}`);
    must(
      given.length === wanted.length && timingSafeEqual(given, wanted),
      'UNAUTHORISED',
      'expected the credential of operator.json in the data folder',
    );
    const name = (request.url ?? '').slice(1);
    const run = Object.hasOwn(operations, name) ? operations[name] : undefined;
    must(request.method === 'POST' && run, 'NOT_FOUND', () => `there is no operation ${name.slice(0, 60)}`);
    reply(response, 200, await run(await readJson(request)));
  } catch (raw) {
    const error = PoolError.from(raw);
    if (error.code === 'INTERNAL') onFault('an operation failed', raw);
    reply(response, error.status, { error: error.toObject() });
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    must(bytes <= MAX_BODY_BYTES, 'TOO_LARGE', `expected at most ${MAX_BODY_BYTES} bytes`);
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString()) as unknown;
  } catch (cause) {
    throw new PoolError('BAD_REQUEST', 'expected JSON', {}, { cause });
  }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify(body));
}
