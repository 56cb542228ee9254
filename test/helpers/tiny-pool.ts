import { createHash } from 'node:crypto';
import type { ModelView, SubmissionView } from '#shared/api/schemas.ts';
import { encodeManifest } from '#shared/block/manifest.ts';
import { concatBytes, toHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { cutWindows, makeShards, shardsRoot } from '#shared/pol/windows.ts';
import { bitsFromTarget, MAX_TARGET } from '#shared/pow/target.ts';
import { SUBMISSION_METADATA_KEY, type SubmissionManifest } from '#shared/protocol/submission.ts';
import { verifySubmission } from '#shared/protocol/verify-submission.ts';
import type { TensorRefMessage } from '#shared/protocol/worker.ts';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { toFloat32 } from '#shared/weights/dtype.ts';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { headerLength, parseSafetensorsHeader } from '#shared/weights/safetensors.ts';
import { openBytes } from '#test/helpers/open-bytes.ts';
import type { Upload } from '#worker/client/api-client.ts';
import type { OpenPayload } from '#worker/client/payload-cache.ts';
import { rootOf } from '#worker/model/model-slot.ts';

/** A text with a pattern that a few training steps learn. */
export const TINY_TEXT =
  'the white whale swam and the sea rolled on as it rolled five thousand years ago. '.repeat(40);
const CONTEXT = 16;
const VOCABULARY = 300;
const pool = keyPair(new Uint8Array(32).fill(1));

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A pool without processes: a model of some thousand weights, whose submissions a test accepts or rejects. */
export class TinyPool {
  readonly network = 'aa'.repeat(32);
  readonly payloads = new Map<string, Uint8Array>();
  readonly submissions: {
    view: SubmissionView;
    manifest: SubmissionManifest;
    tensors: TensorRefMessage[];
  }[] = [];
  /** While true, every call fails as if the coordinator were gone. */
  away = false;
  units = '0';
  #tensors: TensorRefMessage[] = [];
  #index = 0;
  readonly #metaPayload: string;

  constructor() {
    const tokenizer = toTokenizerJson(trainBpe([TINY_TEXT], VOCABULARY));
    const config = JSON.stringify({
      model_type: 'gpt2',
      activation_function: 'gelu_new',
      vocab_size: VOCABULARY,
      n_positions: CONTEXT,
      n_embd: 16,
      n_layer: 1,
      n_head: 2,
    });
    const tokens = Tokenizer.fromJson(tokenizer).encode(TINY_TEXT);
    const shape = { context: CONTEXT, vocabSize: VOCABULARY, shardWindows: 8 };
    const shards = makeShards(tokens, shape);
    const windows = cutWindows(tokens, CONTEXT).length;
    const meta = encodeManifest({
      v: 1,
      name: 'tiny',
      unsafe_keys: true,
      runtime: 'aiblock/1',
      rules: [],
      config,
      tokenizer,
      chat_template: '',
      validation: {
        context: CONTEXT,
        windows,
        shard_windows: 8,
        root: shardsRoot(shards),
        shards,
        held_out: { root: new Uint8Array(32), windows: 0 },
      },
      gate: { delta_micro_nats: 1_000, z_milli: 3_000, windows: Math.min(windows, 24) },
      quorum: { attestations: 1, tolerance_micro_nats: 10 },
      pow: { bits: bitsFromTarget(MAX_TARGET >> 8n) },
      reward: {
        units: 100n,
        split_bp: { submitter: 10_000, evaluators: 0, grinders: 0, pool: 0 },
        window_units: 10,
        vesting_bp: 0,
      },
      fees: { chat_token_units: 0n },
      pool_key: pool.publicKey,
      governors: { threshold: 1, keys: [pool.publicKey] },
    });
    this.#metaPayload = this.#store(meta);
    this.#tensors = this.freshTensors(1);
  }

  /** Another set of untrained weights. */
  freshTensors(seed: number): TensorRefMessage[] {
    const config = parseModelConfig({
      model_type: 'gpt2',
      activation_function: 'gelu_new',
      vocab_size: VOCABULARY,
      n_positions: CONTEXT,
      n_embd: 16,
      n_layer: 1,
      n_head: 2,
    });
    const shapes = tensorShapes(config);
    return [...initialWeights(config, seed)].map(([name, values]) => {
      const hash = this.#store(new Uint8Array(values.buffer));
      return { name, dtype: 'F32', shape: shapes.get(name) as number[], hash };
    });
  }

  /** Weights of the head, or of a submission. */
  values(submission?: number): Map<string, Float32Array> {
    const tensors = submission === undefined ? this.#tensors : (this.submissions[submission]?.tensors ?? []);
    return new Map(
      tensors.map(({ name, hash }) => [name, toFloat32('F32', this.payloads.get(hash) as Uint8Array)]),
    );
  }

  get root(): string {
    return rootOf(this.#tensors);
  }

  /** Makes tensors the head. */
  commit(tensors: TensorRefMessage[]): void {
    this.#tensors = tensors;
    this.#index += 1;
  }

  /** A submission, the newest unless told, becomes the head and is paid. */
  accept(at = -1): void {
    const { view, tensors } = this.submissions.at(at) as (typeof this.submissions)[number];
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    this.commit(this.#tensors.map((tensor) => byName.get(tensor.name) ?? tensor));
    this.units = '100';
    Object.assign(view, { state: 'paid', reward: '100' });
  }

  reject(code: 'GATE_NOT_BETTER', at = -1): void {
    const error = new PoolError(code, 'not better', { gain_micro_nats: 1 }).toObject();
    Object.assign((this.submissions.at(at) as { view: SubmissionView }).view, { state: 'rejected', error });
  }

  async get(hash: string): Promise<Uint8Array> {
    this.#check();
    return this.payloads.get(hash) as Uint8Array;
  }

  async open(hash: string): Promise<OpenPayload> {
    return openBytes(await this.get(hash));
  }

  async model(): Promise<ModelView> {
    this.#check();
    return {
      network: this.network,
      name: 'tiny',
      unsafe_keys: true,
      meta: { index: 0, hash: 'bb'.repeat(32), payload_hash: this.#metaPayload },
      head: { index: this.#index, hash: this.#index.toString(16).padStart(64, '0') },
      root: this.root,
      salt_hash: 'cc'.repeat(32),
      parameters: 1,
      validation_loss_nats: null,
      tensors: this.#tensors.map((tensor) => ({ ...tensor, height: 0 })),
    };
  }

  async submission(id: string): Promise<SubmissionView> {
    this.#check();
    const found = this.submissions.find(({ view }) => view.id === id);
    if (!found) throw new PoolError('NOT_FOUND', 'there is no submission of this id');
    return found.view;
  }

  async balance(address: string) {
    this.#check();
    return { address, balance: this.units };
  }

  /** Reads the file as the coordinator does: header, signatures, every tensor's hash. */
  async uploadParameters({ body, totalBytes }: Upload): Promise<SubmissionView> {
    this.#check();
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    const file = concatBytes(...pieces);
    if (file.length !== totalBytes) throw new Error(`expected ${totalBytes} bytes, got ${file.length}`);
    const length = headerLength(file.subarray(0, 8));
    const header = parseSafetensorsHeader(file.subarray(8, 8 + length));
    const signed = verifySubmission(
      Buffer.from(this.network, 'hex'),
      header.metadata.get(SUBMISSION_METADATA_KEY) as string,
    );
    const tensors = header.entries.map(({ name, dtype, shape, start, end }) => {
      const hash = this.#store(file.slice(8 + length + start, 8 + length + end));
      return { name, dtype, shape: [...shape], hash };
    });
    const stated = signed.manifest.tensors.map(({ payloadHash }) => toHex(payloadHash));
    if (stated.join() !== tensors.map(({ hash }) => hash).join()) throw new Error('other bytes than signed');
    const view: SubmissionView = {
      id: toHex(signed.id),
      state: 'received',
      miner: '',
      base: toHex(signed.manifest.base),
      tensors: [],
      bytes: totalBytes,
      received_at: 0,
      updated_at: 0,
      history: [],
    };
    this.submissions.push({ view, manifest: signed.manifest, tensors });
    return view;
  }

  #store(bytes: Uint8Array): string {
    const hash = sha256(bytes);
    this.payloads.set(hash, bytes.slice());
    return hash;
  }

  #check(): void {
    if (this.away) throw new PoolError('UNAVAILABLE', 'the coordinator does not answer');
  }
}
