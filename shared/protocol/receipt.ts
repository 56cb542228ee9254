import { z } from 'zod';
import { decodeUnit, type WorkUnit } from '#shared/block/work-log.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { type KeyPair, sign, verifySignature } from '#shared/crypto/keys.ts';
import { merkleTree, rootAfterSteps } from '#shared/crypto/merkle.ts';
import { must } from '#shared/errors/pool-error.ts';

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));
/** A unit is some 250 bytes. */
const MAX_UNIT_BYTES = 1_000;

/**
 * What a worker holds in its hand of its credited work: the unit as it stands in the log, and the pool's signature
 * over the Merkle root of the units that were written together with it. PROTOCOL §10.
 */
export const receiptSchema = z.strictObject({
  unit: z
    .string()
    .regex(/^(?:[0-9a-f]{2})+$/)
    .max(2 * MAX_UNIT_BYTES),
  path: z.array(z.strictObject({ side: z.enum(['left', 'right']), hash: hex(32) })).max(32),
  signature: hex(64),
});
export type Receipt = z.infer<typeof receiptSchema>;

/** One receipt per encoded unit, for one signature. */
export function makeReceipts(networkId: Uint8Array, units: readonly Uint8Array[], pool: KeyPair): Receipt[] {
  if (units.length === 0) return [];
  const { root, steps } = merkleTree(units);
  const signature = toHex(sign(digest('receipt', networkId, root), pool.secretKey));
  return units.map((unit, i) => ({
    unit: toHex(unit),
    path: (steps[i] ?? []).map(({ side, hash }) => ({ side, hash: toHex(hash) })),
    signature,
  }));
}

/** The unit of a receipt that this pool signed; SIGNATURE where it did not. */
export function openReceipt(networkId: Uint8Array, receipt: Receipt, poolKey: Uint8Array): WorkUnit {
  const unit = fromHex(receipt.unit, receipt.unit.length / 2);
  const steps = receipt.path.map(({ side, hash }) => ({ side, hash: fromHex(hash, 32) }));
  const signed = digest('receipt', networkId, rootAfterSteps(unit, steps));
  must(
    verifySignature(fromHex(receipt.signature, 64), signed, poolKey),
    'SIGNATURE',
    'the receipt is not signed by the pool',
  );
  return decodeUnit(unit);
}
