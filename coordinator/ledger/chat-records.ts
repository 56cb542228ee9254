import { z } from 'zod';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { del, type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { type CborValue, decodeCborAs, encodeCbor, zBigUint, zBytes, zUint } from '#shared/block/cbor.ts';
import { allowanceSchema } from '#shared/protocol/allowance.ts';

const chatSchema = z.strictObject({
  v: z.literal(1),
  ref: zBytes(32),
  /** Digest of the allowance that pays, and the number of the chat among those that it paid. */
  allowance: zBytes(32),
  number: zUint,
  account: z.string(),
  reserved: zBigUint,
  tokenUnits: zBigUint,
});
/** A chat that was paid for. */
export type ChatRecord = z.infer<typeof chatSchema>;

const allowanceRecordSchema = z.strictObject({
  v: z.literal(1),
  signed: allowanceSchema,
  /** Reserved or settled under it, base units, and in how many chats. */
  spent: zBigUint,
  chats: zUint,
});
export type AllowanceRecord = z.infer<typeof allowanceRecordSchema>;

/** A chat and the allowance that pays for it. */
export interface PaidChatRecord {
  readonly chat: ChatRecord;
  readonly allowance: AllowanceRecord;
}

/** By the `ref` of its entries. */
export async function readPaidChat(kv: KV, ref: Uint8Array): Promise<PaidChatRecord | undefined> {
  const chat = await readChat(kv, ref);
  const allowance = chat && (await readAllowance(kv, chat.allowance));
  return chat && allowance && { chat, allowance };
}

async function readChat(kv: KV, ref: Uint8Array): Promise<ChatRecord | undefined> {
  const value = await kv.get(bucketKey(BUCKET.chat, ref));
  return value && decodeCborAs(chatSchema as unknown as z.ZodType<ChatRecord>, value, 'Chat record');
}

export async function readAllowance(kv: KV, digest: Uint8Array): Promise<AllowanceRecord | undefined> {
  const value = await kv.get(bucketKey(BUCKET.allowance, digest));
  if (!value) return undefined;
  return decodeCborAs(
    allowanceRecordSchema as unknown as z.ZodType<AllowanceRecord>,
    value,
    'Allowance record',
  );
}

export function allowanceOp(digest: Uint8Array, record: AllowanceRecord): KvOp {
  return put(bucketKey(BUCKET.allowance, digest), encodeCbor(record as unknown as CborValue));
}

/** A chat begins: its record, and that it is not settled yet. */
export function openChatOps(chat: ChatRecord): KvOp[] {
  return [
    put(bucketKey(BUCKET.chat, chat.ref), encodeCbor(chat as unknown as CborValue)),
    put(bucketKey(BUCKET.openChat, chat.ref), new Uint8Array(0)),
  ];
}

export const settledChatOp = (ref: Uint8Array): KvOp => del(bucketKey(BUCKET.openChat, ref));

/** Chats whose reservation is not settled. */
export async function openChats(kv: KV): Promise<ChatRecord[]> {
  const refs: Uint8Array[] = [];
  for await (const [key] of kv.entries(bucketRange(BUCKET.openChat))) refs.push(key.slice(1));
  const found = await Promise.all(refs.map((ref) => readChat(kv, ref)));
  return found.filter((chat) => chat !== undefined);
}
