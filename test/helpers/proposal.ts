import { UNSAFE_DEV_GOVERNOR } from '#coordinator/chain/genesis/dev-keys.ts';
import type { ModelView } from '#shared/api/schemas.ts';
import { decodeManifest, encodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { encodeProposal, type MetaProposal, signProposal } from '#shared/block/meta-proposal.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';

export interface ProposalOptions {
  readonly signers?: readonly KeyPair[];
  /** What is wrong with it. */
  readonly forged?: Partial<MetaProposal>;
}

/** A change of the ruling manifest, signed by the governor of the tests. */
export async function proposalFor(
  url: string,
  change: (manifest: Manifest) => Partial<Manifest>,
  { signers = [UNSAFE_DEV_GOVERNOR], forged = {} }: ProposalOptions = {},
): Promise<MetaProposal> {
  const model = (await (await fetch(new URL('/model', url))).json()) as ModelView;
  const stored = await fetch(new URL(`/payload/${model.meta.payload_hash}`, url));
  const manifest = decodeManifest(new Uint8Array(await stored.arrayBuffer()));
  const proposal: MetaProposal = {
    v: 1,
    network: fromHex(model.network, 32),
    index: model.meta.index + 1,
    prev: fromHex(model.meta.hash, 32),
    payload: encodeManifest({ ...manifest, ...change(manifest) }),
    signatures: [],
    ...forged,
  };
  return signers.reduce(signProposal, proposal);
}

export async function propose(
  url: string,
  proposal: MetaProposal | Uint8Array,
  type = 'application/cbor',
): Promise<{ status: number; body: unknown; code: string | undefined }> {
  const response = await fetch(new URL('/meta', url), {
    method: 'POST',
    headers: { 'content-type': type },
    body: (proposal instanceof Uint8Array ? proposal : encodeProposal(proposal)) as Uint8Array<ArrayBuffer>,
  });
  const body = (await response.json()) as { error?: { code: string } };
  return { status: response.status, body, code: body.error?.code };
}
