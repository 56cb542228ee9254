import { accountsApi, type PayingParts } from '#coordinator/api/accounts-api.ts';
import { epochDetail, epochViews, heldOutView } from '#coordinator/api/epoch-views.ts';
import { payoutViewer } from '#coordinator/api/payout-view.ts';
import { entryProof, tensorProof } from '#coordinator/api/proofs.ts';
import { sharesViewer } from '#coordinator/api/shares-view.ts';
import { submissionDetail, submissionView } from '#coordinator/api/views.ts';
import type { Chain } from '#coordinator/chain/chain.ts';
import type { Epochs } from '#coordinator/chain/epochs.ts';
import type { PaidChat } from '#coordinator/chat/paid-chat.ts';
import type { Enrolment } from '#coordinator/dispatch/enrolment.ts';
import type { Workers } from '#coordinator/dispatch/workers.ts';
import type { GovernStage } from '#coordinator/govern/govern.ts';
import { metaView } from '#coordinator/govern/meta-view.ts';
import type { PoolApi, UploadApi } from '#coordinator/http/pool-api.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { RewardWindows } from '#coordinator/ledger/reward-windows.ts';
import type { WorkUnits } from '#coordinator/ledger/work-units.ts';
import type { Metrics } from '#coordinator/metrics/metrics.ts';
import type { Pipeline } from '#coordinator/pipeline.ts';
import { CLAIM_MS, type Claims } from '#coordinator/store/claims.ts';
import type { SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import type { UploadState } from '#coordinator/submission/parts-intake.ts';
import type { Spool } from '#coordinator/submission/spool.ts';
import { blockView } from '#shared/api/block-view.ts';
import type {
  LossPoint,
  MetaView,
  ModelView,
  Overview,
  Readiness,
  SubmissionView,
  UploadView,
} from '#shared/api/schemas.ts';
import { decodeParameterBody } from '#shared/block/body.ts';
import { isZero, toHex } from '#shared/crypto/bytes.ts';
import { parameterCount, parseModelConfig } from '#shared/weights/model-config.ts';
import { sortByName } from '#shared/weights/model-root.ts';

export interface ApiParts {
  readonly chain: Chain;
  readonly epochs: Epochs;
  readonly ledger: Ledger;
  readonly units: WorkUnits;
  readonly windows: RewardWindows;
  readonly submissions: Submissions;
  readonly metrics: Metrics;
  readonly readiness: () => Promise<Readiness>;
  /** Absent where the pool is only read. */
  readonly live?: PayingParts & {
    readonly workers: Workers;
    readonly spool: Spool;
    readonly claims: Pick<Claims, 'add'>;
    readonly enrolment: Pick<Enrolment, 'look'>;
    readonly pipeline: Pipeline;
    readonly govern: Pick<GovernStage, 'commit'>;
    readonly chat: Pick<PaidChat, 'answer'>;
    readonly waiting: (record: SubmissionRecord) => SubmissionView['waiting'];
    readonly progress: (id: string) => { done: number; total: number } | undefined;
  };
}

/** The answers to the edges, read from chain, ledger and stages. */
export function poolApi(parts: ApiParts): PoolApi {
  const { chain, epochs, ledger, units, submissions, live } = parts;
  const view = (record: Parameters<typeof submissionView>[0]) =>
    submissionView(record, live?.progress(toHex(record.id)));
  return {
    overview: () => overview(parts),
    model: () => modelView(chain),
    meta: (index) => metaView(chain, index ?? chain.height('A')),
    submissions: async (filter) => (await submissions.list(filter)).map(view),
    submission: async (id) => {
      const record = await submissions.get(id);
      if (!record) return undefined;
      const shown = submissionDetail(record, live?.progress(toHex(record.id)));
      const detail = live ? { ...shown, waiting: live.waiting(record) } : shown;
      const heldOut = await heldOutView(epochs, id);
      return heldOut ? { ...detail, held_out: heldOut } : detail;
    },
    blocks: async (id, { from, limit }) => {
      const start = from ?? Math.max(0, chain.height(id) - limit + 1);
      return (await chain.blocks(id, start, limit)).map(blockView);
    },
    block: async (id, index) => {
      const block = index <= chain.height(id) ? await chain.block(id, index) : undefined;
      return block && blockView(block);
    },
    rawBlocks: async (id, from, limit) =>
      (await chain.blocks(id, from, limit)).map((b) => ({
        header: toHex(b.headerBytes),
        body: toHex(b.body),
      })),
    journal: async (from, limit) => {
      const { journal, totals } = ledger;
      return {
        entries: (await ledger.entries(from, limit)).map(toHex),
        journal: { seq: journal.seq, head: toHex(journal.head), root: toHex(journal.root) },
        minted: totals.minted.toString(),
        burned: totals.burned.toString(),
      };
    },
    epochs: (range) => epochViews(epochs, range),
    epoch: (number) => epochDetail(epochs, number),
    entryProof: (seq, height) => entryProof(parts, seq, height),
    tensorProof: (name) => tensorProof(chain, name),
    work: async (kind, from, limit) => {
      const { seq, head } = units.places[kind];
      const encoded = await units.encoded(kind, from, Math.min(limit, Math.max(0, seq - from)));
      return { units: encoded.map(toHex), place: { seq, head: toHex(head) } };
    },
    ...accountsApi(parts),
    poolShares: sharesViewer(parts),
    payout: payoutViewer(parts),
    payload: (hash, bearer) => payload(parts, hash, bearer),
    readiness: parts.readiness,
    metrics: () => parts.metrics.scrape(),
    ...(live
      ? {
          uploads: uploadApi(live.pipeline, view),
          govern: async (proposal) => {
            const { block, isNew } = await live.govern.commit(proposal);
            return { view: (await metaView(chain, block.header.index)) as MetaView, isNew };
          },
          enrolment: (publicKey, token) => live.enrolment.look(publicKey, token),
          claim: async (claim) => {
            const { at, isNew } = await live.claims.add(claim);
            return { view: { claim: toHex(claim), claimed_at: at, expires_at: at + CLAIM_MS }, isNew };
          },
          chat: chatter(live.chat, parts.metrics),
        }
      : {}),
  };
}

function uploadApi(
  pipeline: Pipeline,
  view: (record: Parameters<typeof submissionView>[0]) => ReturnType<typeof submissionView>,
): UploadApi {
  const uploadView = ({ id, bytes, received, expiresAt, record }: UploadState): UploadView => ({
    id: toHex(id),
    bytes,
    received,
    expires_at: expiresAt,
    ...(record && { submission: view(record) }),
  });
  return {
    receive: async (upload, single) => {
      const { record, isNew } = await pipeline.submit(upload, single);
      return { view: view(record), isNew };
    },
    begin: async (upload) => {
      const { state, isNew } = await pipeline.uploads.begin(upload);
      return { view: uploadView(state), isNew };
    },
    state: async (id) => {
      const state = await pipeline.uploads.state(id);
      return state && uploadView(state);
    },
    append: async (id, offset, upload) => {
      const { isNew, ...state } = await pipeline.append(id, offset, upload);
      return { view: uploadView(state), isNew };
    },
  };
}

function chatter(chat: Pick<PaidChat, 'answer'>, metrics: Metrics): NonNullable<PoolApi['chat']> {
  return async (request, onText, signal) => {
    const startedMs = performance.now();
    let firstTokenMs: number | null = null;
    try {
      const end = await chat.answer(
        request,
        (text) => {
          firstTokenMs ??= performance.now() - startedMs;
          onText(text);
        },
        signal,
      );
      metrics.chatAnswered({ outcome: end.reason, tokens: end.tokens, firstTokenMs });
      return end;
    } catch (error) {
      metrics.chatAnswered({ outcome: 'error', tokens: 0, firstTokenMs });
      throw error;
    }
  };
}

async function payload(
  { chain, epochs, live }: ApiParts,
  hash: Uint8Array,
  bearer: string | undefined,
): ReturnType<PoolApi['payload']> {
  if (await chain.hasPayload(hash))
    return {
      bytes: await chain.payloadSize(hash),
      immutable: true,
      read: (range) => chain.readPayload(hash, range),
    };
  const shard = epochs.shard(hash);
  if (shard) return { bytes: shard.bytes, immutable: true, read: (range) => shard.read(range) };
  // Weights that are not on the chain yet are for the workers that judge them, not for copycats.
  if (!live || bearer === undefined || !live.workers.isBearer(bearer) || !live.spool.has(hash))
    return undefined;
  return {
    bytes: await live.spool.size(hash),
    immutable: false,
    read: (range) => live.spool.read(hash, range),
  };
}

function parametersOf(chain: Chain): number {
  return parameterCount(parseModelConfig(JSON.parse(chain.meta.manifest.config)));
}

async function modelView(chain: Chain): Promise<ModelView> {
  const { meta, sealed } = chain;
  return {
    network: toHex(chain.networkId),
    name: meta.manifest.name,
    unsafe_keys: meta.manifest.unsafe_keys,
    meta: { index: meta.index, hash: toHex(meta.hash), payload_hash: toHex(meta.payloadHash) },
    head: { index: sealed.position.index, hash: toHex(sealed.position.hash) },
    root: toHex(sealed.root),
    salt_hash: toHex(sealed.saltHash),
    parameters: parametersOf(chain),
    validation_loss_nats:
      chain.newestLoss?.height === sealed.position.index ? chain.newestLoss.microNats / 1e6 : null,
    tensors: sortByName([...sealed.tensors.values()]).map(({ name, dtype, shape, payloadHash, height }) => ({
      name,
      dtype,
      shape: [...shape],
      hash: toHex(payloadHash),
      height,
    })),
  };
}

/** The losses with the submissions that made them. */
export async function lossPoints(chain: Chain): Promise<LossPoint[]> {
  const losses = await chain.losses();
  return Promise.all(
    losses.map(async ({ height, microNats, at, isMeasured }) => {
      const block = await chain.block('B', height);
      const submission = block && decodeParameterBody(block.body).submission;
      return {
        height,
        at,
        loss_nats: microNats / 1e6,
        measured: isMeasured,
        submission: submission && !isZero(submission) ? toHex(submission) : null,
      };
    }),
  );
}

async function overview({ chain, ledger, submissions, live }: ApiParts): Promise<Overview> {
  const model = await modelView(chain);
  const workers = live?.workers.views() ?? [];
  return {
    network: model.network,
    name: model.name,
    unsafe_keys: model.unsafe_keys,
    height: { A: chain.height('A'), B: chain.height('B') },
    root: model.root,
    head_at: chain.sealed.position.timestampMs,
    validation_loss_nats: model.validation_loss_nats,
    parameters: model.parameters,
    submissions: submissions.counts(),
    hashes_per_second: workers.reduce((sum, worker) => sum + worker.hashes_per_second, 0),
    minted: ledger.totals.minted.toString(),
    workers,
    quorum: chain.meta.manifest.quorum.attestations,
    losses: await lossPoints(chain),
  };
}
