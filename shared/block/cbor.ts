import { decode, encode, rfc8949EncodeOptions } from 'cborg';
import { z } from 'zod';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** What may stand in a body, a payload manifest or a journal entry: no floats, no tags, text keys only. */
export type CborValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly CborValue[]
  | { readonly [key: string]: CborValue | undefined };

function refuseFloat(value: unknown): null {
  must(Number.isSafeInteger(value), 'BLOCK_ENCODING', () => `expected an integer, got ${String(value)}`);
  return null;
}

/** Deterministic CBOR (RFC 8949 §4.2.1, keys in bytewise order). A float is refused. PROTOCOL §4. */
export function encodeCbor(value: CborValue): Uint8Array {
  return encode(value, {
    ...rfc8949EncodeOptions,
    typeEncoders: { number: refuseFloat },
    ignoreUndefinedProperties: true,
  });
}

/**
 * Decodes exactly one deterministic item; bytes that would be encoded otherwise (long integers, unsorted or
 * repeated keys, floats, trailing bytes) are refused, so that one value has one encoding and one hash.
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  try {
    const value = decode(bytes, {
      allowIndefinite: false,
      allowUndefined: false,
      rejectDuplicateMapKeys: true,
      strict: true,
    });
    must(
      equalBytes(encodeCbor(value as CborValue), bytes),
      'BLOCK_ENCODING',
      'the CBOR is not deterministic',
    );
    return value;
  } catch (error) {
    if (error instanceof PoolError) throw error;
    throw new PoolError('BLOCK_ENCODING', `expected deterministic CBOR: ${(error as Error).message}`);
  }
}

/** Decodes and checks against a schema; `what` names the structure in the refusal. */
export function decodeCborAs<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string): T {
  const parsed = schema.safeParse(decodeCbor(bytes));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new PoolError(
    'BLOCK_ENCODING',
    `${what}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
  );
}

/** Schemas for CBOR fields. A bigint that fits a safe integer decodes as number: `zUint` takes both. */
export const zBytes = (length: number) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length, {
    message: `expected ${length} bytes`,
  });
export const zUint = z.number().int().nonnegative();
export const zInt = z.number().int();
export const zBigUint = z
  .union([z.number().int().nonnegative(), z.bigint().nonnegative()])
  .transform((value) => BigInt(value));
