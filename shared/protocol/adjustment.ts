import { z } from 'zod';
import { encodeCbor } from '#shared/block/cbor.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { addressOf, isPublicKey, parseAddress, verifySignature } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { wholeNumber } from '#shared/protocol/transfer.ts';

/** Money that the operator gives from the pool's own account, with the reason that everybody may read. PROTOCOL §15. */
export interface Adjustment {
  readonly to: string;
  /** Base units. */
  readonly amount: bigint;
  readonly reason: string;
  /** 16 bytes, so that the same can be given twice on purpose, and never by accident. */
  readonly nonce: Uint8Array;
  /** Unix seconds after which the signature is void. */
  readonly expiry: bigint;
}

export interface SignedAdjustment {
  readonly adjustment: Adjustment;
  /** The pool's key, whose account pays. */
  readonly key: Uint8Array;
  readonly signature: Uint8Array;
}

const MAX_REASON_CHARS = 200;
const MAX_AMOUNT = 2n ** 64n - 1n;
const MAX_EXPIRY = 253_402_300_799n;

/** `POST /adjustments`, and what `GET /adjustments/:digest` gives back of it. */
export const adjustmentRequestSchema = z.strictObject({
  to: z.string(),
  amount: z.string(),
  reason: z.string(),
  nonce: z.string(),
  expiry: z.string(),
  key: z.string(),
  signature: z.string(),
});
export type AdjustmentRequest = z.infer<typeof adjustmentRequestSchema>;

/** What the pool's key signs, and `ref` of the entry. */
export function adjustmentDigest(networkId: Uint8Array, key: Uint8Array, adjustment: Adjustment): Uint8Array {
  const { to, amount, reason, nonce, expiry } = adjustment;
  const content = { v: 1, from: addressOf(key), to, amount, reason, nonce, expiry };
  return digest('adjustment', networkId, encodeCbor(content));
}

/** The fields in their one form: ADDRESS, AMOUNT, ADJUSTMENT or SIGNATURE names the first that is not. */
export function parseAdjustment(request: AdjustmentRequest): SignedAdjustment {
  const to = parseAddress(request.to);
  const amount = wholeNumber(request.amount, 'amount', { code: 'AMOUNT', least: 1n, most: MAX_AMOUNT });
  const expiry = wholeNumber(request.expiry, 'expiry', { code: 'ADJUSTMENT', least: 0n, most: MAX_EXPIRY });
  const { reason } = request;
  must(
    // No line breaks, no control characters: it is shown in terminals and tables.
    reason.length <= MAX_REASON_CHARS && reason.trim() !== '' && !/[\p{C}\p{Zl}\p{Zp}]/u.test(reason),
    'ADJUSTMENT',
    `reason: expected 1 to ${MAX_REASON_CHARS} characters of plain text on one line`,
  );
  must(/^[0-9a-f]{32}$/.test(request.nonce), 'ADJUSTMENT', 'nonce: expected 32 lower-case hex digits');
  must(
    /^[0-9a-f]{66}$/.test(request.key) && isPublicKey(fromHex(request.key, 33)),
    'SIGNATURE',
    'key: expected a compressed secp256k1 key as 66 lower-case hex digits',
  );
  must(
    /^[0-9a-f]{128}$/.test(request.signature),
    'SIGNATURE',
    'signature: expected 128 lower-case hex digits',
  );
  const key = fromHex(request.key, 33);
  must(addressOf(key) !== to, 'ADJUSTMENT', 'expected another account than the pool’s own');
  const nonce = fromHex(request.nonce, 16);
  return {
    adjustment: { to, amount, reason, nonce, expiry },
    key,
    signature: fromHex(request.signature, 64),
  };
}

/** SIGNATURE where it is not signed by the key that it names. */
export function checkAdjustmentSignature(networkId: Uint8Array, signed: SignedAdjustment): Uint8Array {
  const { adjustment, key, signature } = signed;
  const signedDigest = adjustmentDigest(networkId, key, adjustment);
  must(
    verifySignature(signature, signedDigest, key),
    'SIGNATURE',
    () => `expected a signature by ${addressOf(key)}`,
  );
  return signedDigest;
}

/** The wire form of a signed adjustment. */
export function adjustmentRequest({ adjustment, key, signature }: SignedAdjustment): AdjustmentRequest {
  const { to, amount, reason, nonce, expiry } = adjustment;
  return {
    to,
    amount: `${amount}`,
    reason,
    nonce: toHex(nonce),
    expiry: `${expiry}`,
    key: toHex(key),
    signature: toHex(signature),
  };
}
