import { type TransferView, transferSchema } from '#shared/api/account-schemas.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, signRecoverable } from '#shared/crypto/keys.ts';
import { type Transfer, type TransferRequest, transferDigest } from '#shared/protocol/transfer.ts';
import type { ApiClient } from '#worker/client/api-client.ts';

/** Signs a transfer as a wallet would. PROTOCOL §13. */
export function signTransfer(networkId: Uint8Array, transfer: Transfer, key: KeyPair): TransferRequest {
  const { from, to, amount, nonce, expiry } = transfer;
  const signature = signRecoverable(transferDigest(networkId, transfer), key.secretKey);
  return {
    from,
    to,
    amount: `${amount}`,
    nonce: `${nonce}`,
    expiry: `${expiry}`,
    signature: `0x${toHex(signature)}`,
  };
}

export interface Payment {
  readonly to: string;
  /** Base units. */
  readonly amount: bigint;
  /** Unix seconds. */
  readonly expiry: bigint;
}

/** Pays from the key's account, with the nonce that the pool names as its next. Rejects with the pool's refusal. */
export async function send(
  api: Pick<ApiClient, 'model' | 'account' | 'post'>,
  key: KeyPair,
  payment: Payment,
): Promise<TransferView> {
  const { network } = await api.model();
  const { nonce } = await api.account(key.address);
  const transfer = { from: key.address, nonce: BigInt(nonce), ...payment };
  return api.post('transfer', signTransfer(fromHex(network, 32), transfer, key), transferSchema);
}
