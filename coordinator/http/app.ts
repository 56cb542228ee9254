import { pipeline } from 'node:stream/promises';
import express, {
  type ErrorRequestHandler,
  type Express,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import helmet from 'helmet';
import { feeOf } from '#coordinator/chat/chat.ts';
import { addAccounts } from '#coordinator/http/accounts.ts';
import { addAdjustments } from '#coordinator/http/adjustments.ts';
import { addClaims } from '#coordinator/http/claims.ts';
import { addCompletions } from '#coordinator/http/completions.ts';
import { addEnrolment } from '#coordinator/http/enrolment.ts';
import { addEpochs } from '#coordinator/http/epochs.ts';
import { limitWrites, trustProxy, type WriteLimits } from '#coordinator/http/limit-writes.ts';
import { addMeta } from '#coordinator/http/meta.ts';
import { parse } from '#coordinator/http/parse.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { addProofs } from '#coordinator/http/proofs.ts';
import { parseRange } from '#coordinator/http/range.ts';
import { addRewards } from '#coordinator/http/rewards.ts';
import { addUploads, type UploadLimits } from '#coordinator/http/uploads.ts';
import { type ChatResponse, paidChatRequestSchema } from '#shared/api/chat-schemas.ts';
import { blocksQuerySchema, listQuerySchema } from '#shared/api/schemas.ts';
import type { ChainId } from '#shared/block/header.ts';
import { WORK_KINDS } from '#shared/block/work-log.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import type { SubmissionState } from '#shared/lifecycle.ts';

export interface HttpObserver {
  /** After each request. */
  onRequest(result: { route: string; status: number; ms: number }): void;
  /** Faults of ours only. */
  onFault(error: unknown, request: { method: string; path: string }): void;
}

export interface HttpOptions extends UploadLimits, WriteLimits {
  readonly page: readonly RequestHandler[];
  /** Proxies in front, as Express takes it: their number, or their addresses; none where it is left out. */
  readonly trustProxy?: string | undefined;
}

/** Many miners may stand behind one address; what a program of one can send in a second is far more. */
export const HTTP_DEFAULTS = {
  maxUploadBytes: 16 * 1024 ** 3,
  minBytesPerSecond: 10_000,
  graceMs: 15_000,
  maxIdleMs: 30_000,
  maxUploadsPerAddress: 16,
  writesAtOnce: 600,
  writesPerSecond: 20,
  maxJsonMs: 15_000,
} as const;

const MAX_JSON_BYTES = 100_000;
const MAX_RAW_BLOCKS = 500;
const MAX_JOURNAL_ENTRIES = 1_000;
const RETRY_AFTER_SECONDS = 2;

/** The public HTTP API. It checks what comes in, asks the pool, and shows what comes back; it holds no state. */
export function createApp(api: PoolApi, observer: HttpObserver, options: HttpOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  if (options.trustProxy !== undefined) trustProxy(app, options.trustProxy);
  app.use(observe(observer), secure(), limitWrites(options));
  app.get('/healthz', (_request, response) => void response.json({ ok: true }));
  app.get('/readyz', async (_request, response) => {
    const readiness = await api.readiness();
    response.status(readiness.ready ? 200 : 503).json(readiness);
  });
  app.get('/metrics', async (_request, response) => {
    const { contentType, body } = await api.metrics();
    response.type(contentType).send(body);
  });
  addReading(app, api);
  addEpochs(app, api);
  addMeta(app, api);
  addAccounts(app, api, requireJson);
  addRewards(app, api);
  addAdjustments(app, api, requireJson);
  addProofs(app, api);
  addPayload(app, api);
  addUploads(app, api, options);
  addClaims(app, api, requireJson);
  addEnrolment(app, api);
  addWriting(app, api);
  refuseOtherMethods(app);
  if (options.page.length > 0) app.use(...options.page);
  app.use((request: Request) => {
    throw new PoolError('NOT_FOUND', `there is nothing at ${request.method} ${request.path.slice(0, 200)}`);
  });
  app.use(errorHandler(observer));
  return app;
}

function addReading(app: Express, api: PoolApi): void {
  app.get('/overview', async (_request, response) => void response.json(await api.overview()));
  app.get('/model', async (_request, response) => void response.json(await api.model()));
  app.get('/submissions', async (request, response) => {
    const { state, limit } = parse(listQuerySchema, request.query, 'query');
    response.json({
      submissions: await api.submissions({ state: state as SubmissionState | undefined, limit }),
    });
  });
  app.get('/submissions/:id', async (request, response) => {
    const view = await api.submission(fromHex(request.params.id, 32, 'submission id'));
    must(view, 'NOT_FOUND', 'there is no submission of this id');
    response.json(view);
  });
  app.get('/chain/:id/blocks', async (request, response) => {
    const range = parse(blocksQuerySchema, request.query, 'query');
    response.json({ blocks: await api.blocks(chainOf(request), range) });
  });
  app.get('/chain/:id/block/:index', async (request, response) => {
    const index = Number(request.params.index);
    must(/^[0-9]{1,15}$/.test(request.params.index), 'BAD_REQUEST', 'expected a height as a whole number');
    const view = await api.block(chainOf(request), index);
    must(view, 'NOT_FOUND', `chain ${request.params.id} has no block ${index}`);
    response.json(view);
  });
  app.get('/chain/:id/raw', async (request, response) => {
    const { from = 0, limit } = parse(blocksQuerySchema, request.query, 'query');
    response.json({ blocks: await api.rawBlocks(chainOf(request), from, Math.min(limit, MAX_RAW_BLOCKS)) });
  });
  app.get('/journal', async (request, response) => {
    const { from = 0, limit } = parse(blocksQuerySchema, request.query, 'query');
    response.json(await api.journal(from, Math.min(limit, MAX_JOURNAL_ENTRIES)));
  });
  app.get('/work-units/:kind', async (request, response) => {
    const kind = WORK_KINDS.find((name) => name === request.params.kind);
    must(kind, 'NOT_FOUND', `expected the log ${WORK_KINDS.join(' or ')}`);
    const { from = 0, limit } = parse(blocksQuerySchema, request.query, 'query');
    response.json(await api.work(kind, from, limit));
  });
}

function addPayload(app: Express, api: PoolApi): void {
  app.get('/payload/:hash', async (request, response) => {
    const hash = fromHex(request.params.hash, 32, 'payload hash');
    const bearer = /^Bearer (\S+)$/.exec(request.get('authorization') ?? '')?.[1];
    const payload = await api.payload(hash, bearer);
    must(payload, 'NOT_FOUND', 'there is no payload of this hash');
    const range = parseRange(request.get('range'), payload.bytes);
    response.set({
      'content-type': 'application/octet-stream',
      'content-length': String(range.end - range.start),
      'accept-ranges': 'bytes',
      etag: `"${request.params.hash}"`,
      'cache-control': payload.immutable ? 'public, max-age=31536000, immutable' : 'no-store',
    });
    if (range.partial)
      response.status(206).set('content-range', `bytes ${range.start}-${range.end - 1}/${payload.bytes}`);
    if (request.method === 'HEAD') return void response.end();
    // A reader that goes away ends the pipe: that is its right, and nobody's fault.
    await pipeline(payload.read(range), response).catch(() => response.destroy());
  });
}

function addWriting(app: Express, api: PoolApi): void {
  const { chat } = api;
  if (chat) addCompletions(app, { chat, model: api.model }, requireJson);
  if (chat)
    app.post('/chat', requireJson, express.json({ limit: MAX_JSON_BYTES }), async (request, response) => {
      const body = parse(paidChatRequestSchema, request.body, 'body');
      const gone = new AbortController();
      response.on('close', () => gone.abort());
      if (response.closed) gone.abort();
      const { head, root } = await api.model();
      let text = '';
      const end = await chat(body, (piece) => (text += piece), gone.signal);
      const answer: ChatResponse = {
        text,
        tokens: end.tokens,
        finish_reason: end.reason,
        model_root: root,
        height: head.index,
        ...feeOf(end),
      };
      if (!response.writableEnded) response.json(answer);
    });
}

function chainOf(request: Request): ChainId {
  const id = request.params.id;
  must(id === 'A' || id === 'B', 'NOT_FOUND', 'expected chain A or B');
  return id;
}

const requireJson: RequestHandler = (request, _response, next) => {
  must(
    request.is('application/json'),
    'UNSUPPORTED_MEDIA_TYPE',
    `expected content type application/json, got ${request.get('content-type')?.slice(0, 100) ?? 'none'}`,
  );
  next();
};

/** Behind all routes: their paths exist, but not for any other method. */
function refuseOtherMethods(app: Express): void {
  const methods = new Map<string, Set<string>>();
  for (const { route } of app.router.stack) {
    if (!route) continue;
    const known = methods.get(route.path) ?? new Set();
    for (const { method } of route.stack) known.add(method.toUpperCase());
    methods.set(route.path, known);
  }
  for (const [path, known] of methods)
    app.all(path, (request, response) => {
      if (known.has('GET')) known.add('HEAD');
      response.set('allow', [...known].join(', '));
      throw new PoolError('METHOD_NOT_ALLOWED', `expected ${[...known].join(' or ')}, got ${request.method}`);
    });
}

/** The page is ours alone: no other origin's script, style or frame. */
function secure(): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        connectSrc: ["'self'", 'ws:', 'wss:'],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    strictTransportSecurity: false,
  });
}

function observe(observer: HttpObserver): RequestHandler {
  return (request, response, next) => {
    const startedMs = performance.now();
    response.on('finish', () => {
      const route = (request.route as { path?: unknown } | undefined)?.path;
      observer.onRequest({
        route: typeof route === 'string' ? route : 'unmatched',
        status: response.statusCode,
        ms: performance.now() - startedMs,
      });
    });
    next();
  };
}

function errorHandler(observer: HttpObserver): ErrorRequestHandler {
  return (raw: unknown, request: Request, response: Response, _next) => {
    const error = fromExpress(raw);
    if (error.status >= 500 && error.code === 'INTERNAL')
      observer.onFault(raw, { method: request.method, path: request.path });
    if (response.headersSent) return void response.destroy();
    if (error.status === 503 || error.status === 429) {
      const { retry_after_seconds = RETRY_AFTER_SECONDS } = error.details;
      response.set('retry-after', String(retry_after_seconds));
    }
    response.status(error.status).json({ error: error.toObject() });
  };
}

/** Errors of the body parser carry a status; they are the caller's. */
function fromExpress(raw: unknown): PoolError {
  if (raw instanceof PoolError) return raw;
  const status = (raw as { status?: unknown }).status;
  const message = (raw as { message?: unknown }).message;
  if (status === 413) return new PoolError('TOO_LARGE', `expected at most ${MAX_JSON_BYTES} bytes`);
  if (status === 415) return new PoolError('UNSUPPORTED_MEDIA_TYPE', String(message));
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new PoolError('BAD_REQUEST', String(message).slice(0, 200));
  return PoolError.from(raw);
}
