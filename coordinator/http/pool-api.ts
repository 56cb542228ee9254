import type { ChatEnd } from '#coordinator/chat/chat.ts';
import type { Upload } from '#coordinator/submission/entrance.ts';
import type {
  AccountView,
  AdjustmentView,
  EntryView,
  PaidChatView,
  TransferProofView,
  TransferView,
} from '#shared/api/account-schemas.ts';
import type { PaidChatRequest } from '#shared/api/chat-schemas.ts';
import type { EpochDetail, EpochView } from '#shared/api/epoch-schemas.ts';
import type { EntryProof, TensorProof } from '#shared/api/proof-schemas.ts';
import type { PayoutView, PoolSharesView, SharesQuery } from '#shared/api/reward-schemas.ts';
import type {
  BlockView,
  ClaimView,
  MetaView,
  ModelView,
  Overview,
  Readiness,
  SubmissionView,
  UploadView,
} from '#shared/api/schemas.ts';
import type { EnrolmentView } from '#shared/api/worker-schemas.ts';
import type { ChainId } from '#shared/block/header.ts';
import type { MetaProposal } from '#shared/block/meta-proposal.ts';
import type { WorkKind } from '#shared/block/work-log.ts';
import type { SubmissionState } from '#shared/lifecycle.ts';
import type { AdjustmentRequest } from '#shared/protocol/adjustment.ts';
import type { TransferRequest } from '#shared/protocol/transfer.ts';

export interface PayloadRead {
  readonly bytes: number;
  /** False for weights that are not on the chain yet: nobody may keep them. */
  readonly immutable: boolean;
  read(range: { start: number; end: number }): AsyncIterable<Uint8Array>;
}

/** How weights come in; `isNew` is false where the pool had it before. */
export interface UploadApi {
  /** In one piece; `single` demands exactly one tensor. */
  readonly receive: (upload: Upload, single: boolean) => Promise<{ view: SubmissionView; isNew: boolean }>;
  /** By parts, from the header of the file on. */
  readonly begin: (upload: Upload) => Promise<{ view: UploadView; isNew: boolean }>;
  readonly state: (id: Uint8Array) => Promise<UploadView | undefined>;
  /** `isNew` where these were the last bytes. */
  readonly append: (
    id: Uint8Array,
    offset: number,
    upload: Upload,
  ) => Promise<{ view: UploadView; isNew: boolean }>;
}

/** What the edges (HTTP, WebSocket) ask of the pool. The composition root answers it from chain, ledger and stages. */
export interface PoolApi {
  readonly overview: () => Promise<Overview>;
  readonly model: () => Promise<ModelView>;
  /** A Meta block by its height, or the one that rules. */
  readonly meta: (index: number | undefined) => Promise<MetaView | undefined>;
  /** Makes a Meta block of what governors signed. */
  readonly govern?: (proposal: MetaProposal) => Promise<{ view: MetaView; isNew: boolean }>;
  readonly submissions: (filter: {
    state?: SubmissionState | undefined;
    limit: number;
  }) => Promise<SubmissionView[]>;
  readonly submission: (id: Uint8Array) => Promise<SubmissionView | undefined>;
  readonly blocks: (
    chain: ChainId,
    range: { from?: number | undefined; limit: number },
  ) => Promise<BlockView[]>;
  readonly block: (chain: ChainId, index: number) => Promise<BlockView | undefined>;
  /** Headers and bodies as stored, hex. */
  readonly rawBlocks: (
    chain: ChainId,
    from: number,
    limit: number,
  ) => Promise<{ header: string; body: string }[]>;
  readonly journal: (
    from: number,
    limit: number,
  ) => Promise<{
    entries: string[];
    journal: { seq: number; head: string; root: string };
    minted: string;
    burned: string;
  }>;
  readonly epochs: (range: { from?: number | undefined; limit: number }) => Promise<EpochView[]>;
  readonly epoch: (number: number) => Promise<EpochDetail | undefined>;
  readonly entryProof: (seq: number, height: number | undefined) => Promise<EntryProof>;
  readonly tensorProof: (name: string) => Promise<TensorProof>;
  /** Encoded units of a log of work, hex. */
  readonly work: (
    kind: WorkKind,
    from: number,
    limit: number,
  ) => Promise<{ units: string[]; place: { seq: number; head: string } }>;
  readonly account: (address: string) => Promise<AccountView>;
  readonly poolShares: (query: SharesQuery) => Promise<PoolSharesView>;
  /** Undefined where no submission of this id is sealed. */
  readonly payout: (submission: Uint8Array, query: SharesQuery) => Promise<PayoutView | undefined>;
  /** Entries of an account below a number, newest first. */
  readonly accountEntries: (
    address: string,
    page: { before: number | undefined; limit: number },
  ) => Promise<EntryView[]>;
  /** Undefined where there is no such payload, or it is not for this caller. */
  readonly payload: (hash: Uint8Array, bearer: string | undefined) => Promise<PayloadRead | undefined>;
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: () => Promise<{ contentType: string; body: string }>;
  /** Absent where the pool is only read. */
  readonly uploads?: UploadApi;
  /** Notes the time of a claim to a submission that is to come. */
  readonly claim?: (claim: Uint8Array) => Promise<{ view: ClaimView; isNew: boolean }>;
  /** What the operator signed for an adjustment of the journal. */
  readonly adjustment: (digest: Uint8Array) => Promise<AdjustmentView | undefined>;
  readonly adjust?: (request: AdjustmentRequest) => Promise<{ view: AdjustmentView; isNew: boolean }>;
  /** What is known of a worker key, and of an enrolment token. */
  readonly enrolment?: (publicKey: Uint8Array | undefined, token: string | undefined) => EnrolmentView;
  readonly transfer?: (request: TransferRequest) => Promise<{ view: TransferView; isNew: boolean }>;
  /** What was signed for a transfer of the journal. */
  readonly transferProof: (digest: Uint8Array) => Promise<TransferProofView | undefined>;
  /** What paid a chat, by the `ref` of its entries. */
  readonly paidChat: (ref: Uint8Array) => Promise<PaidChatView | undefined>;
  readonly chat?: (
    request: PaidChatRequest,
    onText: (text: string) => void,
    signal: AbortSignal,
  ) => Promise<ChatEnd>;
}
