import { z } from 'zod';
import { PoolError } from '#shared/errors/pool-error.ts';
import { fromWorkerSchema, type ToWorker } from '#shared/protocol/worker.ts';

/**
 * What a further gateway and the core say to each other. Both are the operator's, of one version; the checks are
 * against mistakes. A link has a name, which the core gives; its frames are numbered from 1 in each direction.
 */

/** Number that the gateway gives a worker's line. */
const line = z.number().int().nonnegative();

const toCoreSchema = z.discriminatedUnion('t', [
  /** A worker whose key is proven: the hello that it sent. */
  z.strictObject({ t: z.literal('join'), line, hello: fromWorkerSchema }),
  z.strictObject({ t: z.literal('from'), line, message: fromWorkerSchema }),
  z.strictObject({ t: z.literal('leave'), line, goodbye: z.boolean() }),
  z.strictObject({ t: z.literal('ban'), publicKey: z.string() }),
  /** The gateway stops. */
  z.strictObject({ t: z.literal('bye') }),
]);
export type ToCore = z.infer<typeof toCoreSchema>;

const toGatewaySchema = z.discriminatedUnion('t', [
  z.strictObject({ t: z.literal('admitted'), line }),
  /** The core made it. */
  z.strictObject({ t: z.literal('to'), line, message: z.custom<ToWorker>() }),
  /** Of a join, or of a message: it counts against the worker. */
  z.strictObject({ t: z.literal('refused'), line, error: z.unknown() }),
  z.strictObject({ t: z.literal('close'), line, code: z.number(), reason: z.string() }),
]);
export type ToGateway = z.infer<typeof toGatewaySchema>;

const frame = {
  /** Who sent it: a name that no other process ever had. */
  from: z.string().min(1).max(64),
  /** Version of the software. */
  version: z.string(),
  /** Empty where the gateway has none, and asks for one. */
  link: z.string().max(64),
  seq: z.number().int().nonnegative(),
  /** The newest frame of the other direction that was taken. */
  ack: z.number().int().nonnegative(),
};
const coreFrameSchema = z.strictObject({ ...frame, messages: z.array(toCoreSchema) });
const gatewayFrameSchema = z.strictObject({ ...frame, messages: z.array(toGatewaySchema) });

export interface FrameHead {
  readonly from: string;
  readonly version: string;
  readonly link: string;
  readonly seq: number;
  readonly ack: number;
}
export interface Frame<Message> extends FrameHead {
  readonly messages: Message[];
}

/** MESSAGE where the text is no frame. */
export const parseCoreFrame = (text: string): Frame<ToCore> => parse(coreFrameSchema, text);
/** MESSAGE where the text is no frame. */
export const parseGatewayFrame = (text: string): Frame<ToGateway> => parse(gatewayFrameSchema, text);

/** A frame of messages that are JSON already. */
export function frameText({ from, version, link, seq, ack }: FrameHead, messages: readonly string[]): string {
  const head = JSON.stringify({ from, version, link, seq, ack });
  return `${head.slice(0, -1)},"messages":[${messages.join(',')}]}`;
}

function parse<T>(schema: z.ZodType<T>, text: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new PoolError('MESSAGE', 'a frame of a link has not the expected form', {}, { cause });
  }
}
