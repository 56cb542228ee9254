import { createHash } from 'node:crypto';
import type { Chain } from '#coordinator/chain/chain.ts';
import {
  countedHeight,
  type EpochMember,
  type EpochRecord,
  epochOps,
  readEpochs,
} from '#coordinator/store/epoch-records.ts';
import { type HeldOutResult, heldOutResult } from '#coordinator/store/held-out-results.ts';
import { readLeaves, readShard } from '#coordinator/store/held-out-shards.ts';
import { corrupt } from '#coordinator/store/io-error.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { decodeParameterBody } from '#shared/block/body.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import type { Block } from '#shared/block/verify-block.ts';
import { isZero, toHex } from '#shared/crypto/bytes.ts';
import { pathOfLeaves } from '#shared/crypto/merkle.ts';
import { must } from '#shared/errors/pool-error.ts';
import { countSeal, type EpochCount, goesOn, heldOutShards, heldOutWindows } from '#shared/pol/epochs.ts';
import { deltaAt } from '#shared/pol/rule.ts';

/** A shard that everybody may see. */
export interface RevealedShard {
  readonly bytes: number;
  read(range: { start: number; end: number }): AsyncIterable<Uint8Array>;
}

/**
 * The epochs as the chain makes them, and what was revealed at their ends. What it keeps follows from the chain and
 * the store's shards, so a crash costs nothing but counting again. PROTOCOL §8.
 */
export class Epochs {
  readonly #kv: KV;
  readonly #chain: Chain;
  readonly #records: EpochRecord[];
  readonly #bySubmission = new Map<string, EpochRecord['number']>();
  /** Hash of a revealed shard, hex → where it is. */
  readonly #shards = new Map<string, { epoch: EpochRecord; place: number }>();
  #height: number;
  #count: EpochCount;

  private constructor(parts: { kv: KV; chain: Chain }, stored: { records: EpochRecord[]; height: number }) {
    this.#kv = parts.kv;
    this.#chain = parts.chain;
    this.#records = stored.records;
    this.#height = stored.height;
    this.#count = countOf(stored.records);
    for (const record of stored.records) this.#index(record);
  }

  static async open(kv: KV, chain: Chain): Promise<Epochs> {
    return new Epochs({ kv, chain }, { records: await readEpochs(kv), height: await countedHeight(kv) });
  }

  /** Newest last. */
  get all(): readonly EpochRecord[] {
    return this.#records;
  }

  /** Shards of the newest Meta block's held-out part that no epoch was given yet. */
  get shardsLeft(): number {
    const { validation } = this.#chain.meta.manifest;
    const given = this.#count.given.get(toHex(validation.held_out.root)) ?? 0;
    return Math.max(0, heldOutShards(validation) - given);
  }

  /** Counts what was sealed since the last call. */
  async catchUp(): Promise<void> {
    let parts: Block[] = [];
    for (let at = this.#height + 1; at <= this.#chain.height('B'); at++) {
      const block = await this.#chain.block('B', at);
      if (!block) throw corrupt(`block B${at} is missing`);
      parts.push(block);
      if (decodeParameterBody(block.body).seal === undefined) continue;
      await this.#sealed(parts);
      parts = [];
    }
    await this.#endIfOther();
  }

  /** Makes the shards of an epoch that is over public. Idempotent. */
  async reveal(number: number, at: number): Promise<EpochRecord> {
    const record = this.#records[number] as EpochRecord;
    must(record.over, 'STATE', `epoch ${number} is not over`);
    if (record.revealed) return record;
    const { manifest } = await this.#metaOf(record);
    const { root, firstShard } = record;
    const leaves = await readLeaves(this.#kv, root, heldOutShards(manifest.validation));
    const shards = [];
    for (let index = firstShard; index < firstShard + record.shards; index++) {
      const bytes = (await readShard(this.#kv, root, index)) as Uint8Array;
      shards.push({ hash: sha256(bytes), bytes: bytes.length, path: pathOfLeaves(leaves, index) });
    }
    const revealed = { ...record, revealed: { at, shards } };
    await this.#write(revealed);
    return revealed;
  }

  /** A revealed shard by the hash of its bytes. */
  shard(hash: Uint8Array): RevealedShard | undefined {
    const found = this.#shards.get(toHex(hash));
    const shard = found?.epoch.revealed?.shards[found.place];
    if (!found || !shard) return undefined;
    const { root, firstShard } = found.epoch;
    return {
      bytes: shard.bytes,
      read: (range) => readPart(this.#kv, { root, index: firstShard + found.place }, range),
    };
  }

  /** What came of the re-check of a submission; undefined while nothing did. */
  result(submission: Uint8Array): Promise<HeldOutResult | undefined> {
    return heldOutResult(this.#kv, submission);
  }

  /** Numbers of the windows of an epoch's shards in the held-out part. */
  async windowsOf(record: EpochRecord): Promise<number[]> {
    return heldOutWindows(record, (await this.#metaOf(record)).manifest.validation);
  }

  /** The epoch that a sealed submission belongs to, and it in that. */
  of(submission: Uint8Array): { epoch: EpochRecord; member: EpochMember } | undefined {
    const number = this.#bySubmission.get(toHex(submission));
    const epoch = number === undefined ? undefined : this.#records[number];
    const member = epoch?.members.find((one) => toHex(one.submission) === toHex(submission));
    return epoch && member && { epoch, member };
  }

  /** The Meta block that ruled the first seal of an epoch, and so says what its held-out part is. */
  #metaOf({ members }: EpochRecord): Promise<MetaBlock> {
    return this.#chain.metaOf((members[0] as EpochMember).meta);
  }

  async #sealed(parts: readonly Block[]): Promise<void> {
    const [{ header: first }, { header: last, body }] = [parts[0], parts.at(-1)] as [Block, Block];
    const { submission } = decodeParameterBody(body);
    if (isZero(submission)) return this.#counted(last.index, this.#count, []);
    const { hash: meta, manifest } = await this.#chain.metaOf(last.pointsTo);
    const { epoch, count } = countSeal(this.#count, manifest.validation);
    const ended = this.#openRecord();
    const changes: EpochRecord[] = [];
    if (ended && ended.number !== epoch?.number) changes.push({ ...ended, over: true });
    if (epoch) {
      const before = this.#records[epoch.number]?.members ?? [];
      const deltaMicroNats = deltaAt(manifest.gate, first.index - 1);
      const member = { submission, first: first.index, last: last.index, meta, deltaMicroNats };
      changes.push({ v: 1, ...epoch, members: [...before, member], over: count.open === null });
    }
    await this.#counted(last.index, count, changes);
  }

  /** Another held-out part rules what comes: what has been sealed under the one before is an epoch of its own. */
  async #endIfOther(): Promise<void> {
    const open = this.#openRecord();
    if (!open || goesOn(this.#count, this.#chain.meta.manifest.validation)) return;
    await this.#counted(this.#height, { ...this.#count, open: null }, [{ ...open, over: true }]);
  }

  #openRecord(): EpochRecord | undefined {
    const { open } = this.#count;
    return open === null ? undefined : this.#records[open.epoch.number];
  }

  async #counted(height: number, count: EpochCount, records: readonly EpochRecord[]): Promise<void> {
    await this.#kv.batch(epochOps(records, height), { durable: false });
    this.#height = height;
    this.#count = count;
    for (const record of records) this.#keep(record);
  }

  async #write(record: EpochRecord): Promise<void> {
    await this.#kv.batch(epochOps([record], this.#height), { durable: true });
    this.#keep(record);
  }

  #keep(record: EpochRecord): void {
    this.#records[record.number] = record;
    this.#index(record);
  }

  #index(record: EpochRecord): void {
    for (const { submission } of record.members) this.#bySubmission.set(toHex(submission), record.number);
    record.revealed?.shards.forEach(({ hash }, place) => {
      this.#shards.set(toHex(hash), { epoch: record, place });
    });
  }
}

/** Where counting stood when these were written. */
function countOf(records: readonly EpochRecord[]): EpochCount {
  const given = new Map<string, number>();
  for (const { root, firstShard, shards } of records) given.set(toHex(root), firstShard + shards);
  const last = records.at(-1);
  if (!last || last.over) return { begun: records.length, open: null, given };
  const { number, root, seals, firstShard, shards, members } = last;
  const epoch = { number, root, seals, firstShard, shards };
  return { begun: records.length, open: { epoch, taken: members.length }, given };
}

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

async function* readPart(
  kv: KV,
  { root, index }: { root: Uint8Array; index: number },
  { start, end }: { start: number; end: number },
): AsyncGenerator<Uint8Array> {
  const bytes = await readShard(kv, root, index);
  if (!bytes) throw corrupt(`held-out shard ${index} of ${toHex(root)} is missing`);
  yield bytes.subarray(start, end);
}
