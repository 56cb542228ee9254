import { randomBytes } from 'node:crypto';
import { fromHex, readU64be, toHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, signRecoverable } from '#shared/crypto/keys.ts';
import { type Allowance, type AllowanceRequest, allowanceDigest } from '#shared/protocol/allowance.ts';
import type { ApiClient } from '#worker/client/api-client.ts';

/** Signs an allowance as a wallet would. PROTOCOL §16. */
export function signAllowance(networkId: Uint8Array, allowance: Allowance, key: KeyPair): AllowanceRequest {
  const { account, limit, nonce, expiry } = allowance;
  const signature = signRecoverable(allowanceDigest(networkId, allowance), key.secretKey);
  return {
    account,
    limit: `${limit}`,
    nonce: `${nonce}`,
    expiry: `${expiry}`,
    signature: `0x${toHex(signature)}`,
  };
}

/** An allowance of the key's account for one session of chats. */
export async function allowChat(
  api: Pick<ApiClient, 'model'>,
  key: KeyPair,
  { limit, expiry }: { limit: bigint; expiry: bigint },
): Promise<AllowanceRequest> {
  const { network } = await api.model();
  const nonce = readU64be(new Uint8Array(randomBytes(8)));
  return signAllowance(fromHex(network, 32), { account: key.address, limit, nonce, expiry }, key);
}
