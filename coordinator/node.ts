import type { Server } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { poolApi } from '#coordinator/api/api.ts';
import { epochView } from '#coordinator/api/epoch-views.ts';
import { Salts } from '#coordinator/chain/salts.ts';
import { ChatStage } from '#coordinator/chat/chat.ts';
import { CommitStage } from '#coordinator/commit/commit.ts';
import { modelMessage } from '#coordinator/dispatch/model-ref.ts';
import { PoolDesk } from '#coordinator/dispatch/pool-desk.ts';
import { EvaluationStage } from '#coordinator/evaluation/evaluation.ts';
import { GovernStage } from '#coordinator/govern/govern.ts';
import { createApp } from '#coordinator/http/app.ts';
import { addressOfRequests } from '#coordinator/http/limit-writes.ts';
import { connectionLimits, httpServer, listen } from '#coordinator/http/listen.ts';
import type { Log } from '#coordinator/log.ts';
import { createMetrics, type Metrics } from '#coordinator/metrics/metrics.ts';
import { metricSources } from '#coordinator/metrics/sources.ts';
import { MiningStage } from '#coordinator/mining/mining.ts';
import { Notices } from '#coordinator/notices.ts';
import { type Closers, closeAll } from '#coordinator/open/closers.ts';
import { openGateways } from '#coordinator/open/open-gateways.ts';
import { openMining } from '#coordinator/open/open-mining.ts';
import { openMoney } from '#coordinator/open/open-money.ts';
import { openQueue } from '#coordinator/open/open-queue.ts';
import { openState, type State } from '#coordinator/open/open-state.ts';
import { openWorkers } from '#coordinator/open/open-workers.ts';
import { workerOperations } from '#coordinator/operator/operations.ts';
import { serveOperator } from '#coordinator/operator/server.ts';
import type { CoordinatorOptions } from '#coordinator/options.ts';
import { PayoutStage } from '#coordinator/payout/payout.ts';
import { Pipeline } from '#coordinator/pipeline.ts';
import { liveChecks, readinessOf } from '#coordinator/readiness.ts';
import { Claims } from '#coordinator/store/claims.ts';
import { readSecret, workerToken } from '#coordinator/store/key-files.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import { Intake } from '#coordinator/submission/intake.ts';
import { Spool } from '#coordinator/submission/spool.ts';
import { VestingStage } from '#coordinator/vesting/vesting.ts';
import { webPage } from '#coordinator/web/serve.ts';
import { ChatEndpoint } from '#coordinator/ws/chat.ts';
import { Feed } from '#coordinator/ws/feed.ts';
import { type Endpoint, WebSocketEdge } from '#coordinator/ws/server.ts';
import { WorkerGateway } from '#coordinator/ws/worker-gateway.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { SOFTWARE_VERSION } from '#shared/version.ts';

export interface RunningCoordinator {
  readonly url: string;
  readonly networkId: string;
  readonly height: number;
  /** Stops everything in the reverse order of the start. Idempotent. */
  close(): Promise<void>;
}

const PAGE_DIR = fileURLToPath(new URL('./web/dist', import.meta.url));

/** Builds every part in order; whatever fails, what was built is closed again. */
export async function startCoordinator(options: CoordinatorOptions, log: Log): Promise<RunningCoordinator> {
  const closers: Closers = [];
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= closeAll(closers);
    return closing;
  };
  try {
    return { ...(await build(options, log, closers)), close };
  } catch (error) {
    await close().catch((failure: unknown) => log.error('a part could not be closed', {}, failure));
    throw error;
  }
}

async function build(
  options: CoordinatorOptions,
  log: Log,
  closers: Closers,
): Promise<Omit<RunningCoordinator, 'close'>> {
  const state = await openState(options, log, closers);
  const { chain } = state;
  const url = options.readOnly ? await serveReadOnly(state, closers) : await serveLive(state, closers);
  return { url, networkId: toHex(chain.networkId), height: chain.height('B') };
}

async function serveReadOnly(state: State, closers: Closers): Promise<string> {
  const { chain, epochs, ledger, units, windows, submissions, options, log } = state;
  const metrics = createMetrics(metricSources(state), { version: SOFTWARE_VERSION });
  const readiness = readinessOf({ store: async () => `height ${chain.height('B')}` });
  const api = poolApi({ chain, epochs, ledger, units, windows, submissions, metrics, readiness });
  const app = createApp(api, observer(metrics, log), { ...options.http, page: [] });
  return serve(httpServer(app, connectionLimits(options.http.trustProxy)), options, closers);
}

async function serveLive(state: State, closers: Closers): Promise<string> {
  const { options, log, kv, payloads, chain, epochs, ledger, units, windows, submissions } = state;
  await payloads.collect(async (hash) => (await chain.payloadHeight(hash)) !== undefined);
  const { redis, prefix, queue } = await openQueue(options, { networkId: chain.networkId, log, closers });

  const salts = new Salts(chain.networkId, await readSecret(options.dataDir, 'salts'));
  const workerParts = await openWorkers(kv, {
    networkId: chain.networkId,
    poolToken: options.workerToken ?? (await workerToken(options.dataDir)),
    now: Date.now,
    onFault: (message, error) => log.warn(message, {}, error),
  });
  closers.push(() => workerParts.enrolment.close());
  const { workers, reputations } = workerParts;
  const pending = new Set(submissions.pending().map((record) => toHex(record.id)));
  const spool = await Spool.open(join(options.dataDir, 'spool'), (id) => pending.has(id));
  const feed = new Feed();
  const lock = new WriteLock();
  const vesting = new VestingStage(
    { kv, lock, chain, ledger, units, epochs, now: Date.now },
    {
      onEpoch: (epoch) =>
        void epochView(epochs, epoch)
          .then((view) => notices.epoch(view))
          .catch((error: unknown) => log.warn('an epoch could not be told', {}, error)),
      onSettled: (submission, result) => notices.settled(submission, result),
      onCredited: (credited) => receipts.send(credited, workers),
      onFault: (message, error) => log.error(message, {}, error),
    },
  );
  const metrics = createMetrics(metricSources(state, { ...workerParts, queue, vesting }), {
    version: SOFTWARE_VERSION,
  });
  const { board, receipts, close } = openMining(options.mining, {
    ...{ kv, units, workers, metrics, networkId: chain.networkId },
    poolKey: keyPair(await readSecret(options.dataDir, 'pool')),
    onFault: (message, error) => log.warn(message, {}, error),
  });
  closers.push(close);
  const notices = new Notices({ feed, metrics, chain, submissions, log: log.child('pool'), now: Date.now });

  const evaluation = new EvaluationStage(
    options.evaluation,
    { queue, workers, chain, salts, submissions, reputations, heldOut: vesting, now: Date.now },
    {
      onPassed: () => pipeline.mineNext(),
      onHeadLoss: (loss) => notices.headLoss(loss),
      onProgress: (record, progress) => notices.progress(record, progress),
      onEvaluated: (ms) => metrics.evaluated(ms),
      onResult: (outcome) => metrics.evaluationResult(outcome),
      onCost: (cost) => metrics.evaluationCost(cost),
      onTokens: (purpose, tokens) => metrics.evaluationTokens(purpose, tokens),
      onCanaryEnd: (id) => void dropIfRejected(id).catch((error: unknown) => log.warn('spool', {}, error)),
      onLongWait: (id, waiting) => notices.longWait(id, waiting),
      onFault: (message, error) => log.warn(message, {}, error),
    },
  );
  const chat = new ChatStage(options.chat, workers);
  const money = await openMoney({ kv, lock, chain, ledger, chat, now: Date.now, log, closers });
  const claims = await Claims.open(kv, Date.now);
  const pipeline: Pipeline = new Pipeline(
    {
      intake: new Intake(
        options.intake,
        { chain, submissions, spool, claims, now: Date.now },
        { onOutclaimed: (record) => pipeline.outclaimed(record) },
      ),
      evaluation,
      mining: new MiningStage({ chain, salts, board, now: Date.now }),
      commit: new CommitStage({
        kv,
        lock,
        chain,
        payloads,
        ledger,
        units,
        submissions,
        spool,
        now: Date.now,
        onCredited: (credited) => receipts.send(credited, workers),
      }),
      payout: new PayoutStage({ chain, windows, ledger, lock }),
      vesting,
    },
    { chain, submissions, spool },
    {
      onCommitted: (report) => {
        notices.committed(report);
        announceHead();
      },
      onFault: (message, error) => log.error(message, {}, error),
    },
  );
  const announceHead = () => {
    const model = modelMessage(chain.meta, chain.sealed);
    for (const session of workers.sessions())
      session.send({ type: 'head', height: chain.height('B'), model });
  };
  const govern = new GovernStage({
    ...{ kv, lock, chain, payloads, now: Date.now },
    poolKey: async () => keyPair(await readSecret(options.dataDir, 'pool')),
    between: (change) => pipeline.betweenSubmissions(change),
    onChanged: (meta) => {
      notices.metaChanged(meta);
      announceHead();
    },
  });
  const dropIfRejected = async (id: Uint8Array) => {
    if ((await submissions.get(id))?.state === 'rejected') await spool.drop(id);
  };
  submissions.onState((record) => notices.moved(record));
  submissions.onState((record) => {
    // A submission that still tests a worker is kept until it has.
    if (record.state === 'rejected' && !evaluation.isCanary(record.id))
      void spool.drop(record.id).catch((error: unknown) => log.warn('spool', {}, error));
  });
  workers.listen(evaluation);
  workers.listen(board);
  workers.listen(chat);
  workers.listen({
    onJoin: (session) => {
      session.send({
        type: 'head',
        height: chain.height('B'),
        model: modelMessage(chain.meta, chain.sealed),
      });
      notices.worker(session, true);
    },
    onLost: (session) => notices.worker(session, false),
    onHeartbeat: (session) => notices.heartbeat(session),
  });

  const readiness = readinessOf(liveChecks({ kv, chain, ledger, queue, redis }));
  const api = poolApi({
    chain,
    epochs,
    ledger,
    units,
    windows,
    submissions,
    metrics,
    readiness,
    live: {
      workers,
      spool,
      claims,
      enrolment: workerParts.enrolment,
      pipeline,
      govern,
      chat: money.paidChat,
      transfers: money.transfers,
      adjustments: money.adjustments,
      progress: (id) => notices.progressOf(id),
      waiting: (record) => evaluation.waiting(record),
    },
  });
  const app = createApp(api, observer(metrics, log), { ...options.http, page: webPage(PAGE_DIR) });
  const http = httpServer(app, connectionLimits(options.http.trustProxy));
  const desk = new PoolDesk(workers, Date.now);
  const gateways = openGateways(redis.connection, { prefix, desk, metrics, log: log.child('gateways') });
  closers.push(() => gateways.close());
  const endpoints: Endpoint[] = [
    feed,
    new ChatEndpoint(api as Required<typeof api>),
    new WorkerGateway({
      desk,
      networkId: chain.networkId,
      onFault: (message, error) => log.warn(message, {}, error),
    }),
  ];
  const edge = new WebSocketEdge(http, endpoints, addressOfRequests(options.http.trustProxy));
  closers.push(() => pipeline.close());
  await pipeline.start();
  const operations = workerOperations(workerParts);
  const onFault = (message: string, error: unknown) => log.error(message, {}, error);
  closers.push(await serveOperator({ dataDir: options.dataDir, operations, onFault }));
  const url = await serve(http, options, closers);
  // First of all: the HTTP server waits for every connection, also for those that became WebSockets.
  closers.push(() => edge.close());
  return url;
}

function observer(metrics: Metrics, log: Log): Parameters<typeof createApp>[1] {
  return {
    onRequest: (result) => metrics.httpServed(result),
    onFault: (error, request) => log.error('a request failed', request, error),
  };
}

async function serve(http: Server, options: CoordinatorOptions, closers: Closers): Promise<string> {
  const { url, close } = await listen(http, options);
  closers.push(close);
  return url;
}
