import type { Chain } from '#coordinator/chain/chain.ts';
import type { MetaView } from '#shared/api/schemas.ts';
import { decodeMetaBody } from '#shared/block/body.ts';
import { decodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { manifestFields } from '#shared/block/manifest-text.ts';
import type { Block } from '#shared/block/verify-block.ts';
import { collectBytes, toHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';

/** A Meta block with its manifest, as the API shows it; undefined where chain A has none at this height. */
export async function metaView(chain: Chain, index: number): Promise<MetaView | undefined> {
  if (index > chain.height('A')) return undefined;
  const block = await chain.block('A', index);
  if (!block) return undefined;
  if (index === chain.meta.index) return viewOf(block, chain.meta.manifest);
  return viewOf(block, decodeManifest(await collectBytes(chain.readPayload(block.header.payloadHash))));
}

function viewOf({ header, hash, body }: Block, manifest: Manifest): MetaView {
  return {
    index: header.index,
    hash: toHex(hash),
    prev_hash: toHex(header.prevHash),
    points_to: toHex(header.pointsTo),
    at: header.timestampMs,
    payload_hash: toHex(header.payloadHash),
    payload_size: header.payloadBytes,
    pool: addressOf(manifest.pool_key),
    governors: manifest.governors.keys.map(addressOf),
    signed_by: decodeMetaBody(body).signatures.map(({ key }) => addressOf(key)),
    chat_template: manifest.chat_template,
    fields: manifestFields(manifest),
  };
}
