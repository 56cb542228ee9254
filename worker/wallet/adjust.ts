import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { adjustmentSchema } from '#shared/api/account-schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, parseAddress, sign } from '#shared/crypto/keys.ts';
import { formatAmount, parseAmount } from '#shared/money.ts';
import {
  type Adjustment,
  type AdjustmentRequest,
  adjustmentDigest,
  adjustmentRequest,
  parseAdjustment,
} from '#shared/protocol/adjustment.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { existingKey, type KeyFlags } from '#worker/wallet/signing-key.ts';

export interface AdjustFlags extends KeyFlags {
  readonly coordinator: string;
  readonly dataDir: string;
  readonly reason: string;
  readonly expires: number;
  readonly json: boolean;
}

/** Signs an adjustment as the operator. PROTOCOL §15. */
export function signAdjustment(
  networkId: Uint8Array,
  adjustment: Adjustment,
  { publicKey: key, secretKey }: KeyPair,
): AdjustmentRequest {
  const signature = sign(adjustmentDigest(networkId, key, adjustment), secretKey);
  return adjustmentRequest({ adjustment, key, signature });
}

/** `aiblock ledger adjust`: gives tokens from the pool's own account, with a reason that everybody can read. */
export async function adjust(
  payment: { to: string; amount: string },
  flags: AdjustFlags,
  environment: CommandEnvironment,
): Promise<void> {
  const { now, out } = environment;
  const to = parseAddress(payment.to);
  const amount = parseAmount(payment.amount);
  const key = await existingKey(flags, join(flags.dataDir, 'keys', 'pool'), environment);
  const api = new ApiClient(flags.coordinator);
  const expiry = BigInt(Math.floor(now() / 1000) + flags.expires);
  const nonce = new Uint8Array(randomBytes(16));
  const networkId = fromHex((await api.model()).network, 32);
  const request = signAdjustment(networkId, { to, amount, reason: flags.reason, nonce, expiry }, key);
  parseAdjustment(request); // a reason that is none is told here
  const { digest, entry } = await api.post('adjustments', request, adjustmentSchema);
  out(
    flags.json
      ? `${JSON.stringify({ digest, entry })}\n`
      : `Gave ${formatAmount(amount)} of the pool to ${to}: journal entry ${entry.seq}, adjustment ${digest}\n`,
  );
}
