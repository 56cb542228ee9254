import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '@noble/hashes/sha2.js';
import { bodyHash, encodeBody } from '#shared/block/body.ts';
import { type BlockHeader, decodeHeader } from '#shared/block/header.ts';
import { encodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { MetaChain, metaDigest } from '#shared/block/meta-chain.ts';
import { type Block, blockFromBytes, positionOf } from '#shared/block/verify-block.ts';
import { ZERO_32 } from '#shared/crypto/bytes.ts';
import { type KeyPair, keyPair, sign } from '#shared/crypto/keys.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { signPayload } from '#shared/protocol/submission.ts';
import { CHAIN, changed, grind, META, META_BLOCK, MINER, NETWORK } from '#test/helpers/forge.ts';
import { flipBit } from '#test/helpers/vectors.ts';

const governors = CHAIN.secrets.governors.map(keyPair);
const [first, second, third] = governors as [KeyPair, KeyPair, KeyPair];
const pool = keyPair(CHAIN.secrets.pool);

interface Made {
  block: Block;
  payload: Uint8Array;
}

/** A Meta block on `after` (nothing: A0) that is right but for the changes. */
function make({
  after,
  header = {},
  signers = [first, second],
  manifest = {},
  payload = encodeManifest({ ...META.manifest, ...manifest }),
  signed,
}: {
  after?: Block;
  header?: Partial<BlockHeader>;
  signers?: KeyPair[];
  manifest?: Partial<Manifest>;
  payload?: Uint8Array;
  signed?: Uint8Array;
}): Made {
  const network = after ? NETWORK : ZERO_32;
  const index = (after?.header.index ?? -1) + 1;
  const payloadHash = sha256(payload);
  const prevHash = after?.hash ?? ZERO_32;
  const what = signed ?? metaDigest(network, { index, prevHash, payloadHash });
  const body = encodeBody({
    v: 1,
    signatures: signers.map((key) => ({ key: key.publicKey, signature: sign(what, key.secretKey) })),
  });
  const block = grind(
    {
      ...META_BLOCK.header,
      index,
      prevHash,
      pointsTo: after ? HEAD : ZERO_32,
      payloadHash,
      payloadBytes: payload.length,
      payloadSig: signPayload(network, payloadHash, pool),
      bodyHash: bodyHash(body),
      ...header,
    },
    body,
  );
  return { block, payload };
}

const genesis = { block: META_BLOCK, payload: CHAIN.meta.payload };
const next = (changes: Parameters<typeof make>[0] = {}) => make({ after: META_BLOCK, ...changes });
const payload = CHAIN.meta.payload;
/** A head of chain B. */
const HEAD = CHAIN.blocks.at(-1)!.hash;
/** What the governors of genesis signed. */
const SIGNED = { index: 0, prevHash: ZERO_32, payloadHash: sha256(payload) };

test('the first block gives the network its id', () => {
  const chain = new MetaChain();
  assert.deepEqual(chain.networkId, ZERO_32);
  assert.throws(() => chain.current, { code: 'BLOCK_LINK' });
  const meta = chain.apply(META_BLOCK, payload);
  assert.deepEqual(chain.networkId, CHAIN.meta.hash);
  assert.deepEqual(meta, {
    hash: CHAIN.meta.hash,
    index: 0,
    payloadHash: sha256(payload),
    manifest: META.manifest,
  });
  assert.equal(chain.current, meta);
});

test('a later block is valid by the governors of the one before it', () => {
  const chain = new MetaChain();
  chain.apply(META_BLOCK, payload);
  const change = next({
    manifest: { governors: { threshold: 1, keys: [third.publicKey] } },
    signers: [third, first],
  });
  assert.equal(chain.apply(change.block, change.payload).index, 1);
  assert.deepEqual(chain.networkId, NETWORK);
  const outvoted = make({ after: change.block, signers: [first, second] });
  assert.throws(() => chain.apply(outvoted.block, outvoted.payload), { code: 'SIGNATURE' });
  const later = make({ after: change.block, signers: [third] });
  assert.equal(chain.apply(later.block, later.payload).index, 2);
});

test('the change of another implementation is valid', () => {
  const chain = new MetaChain();
  chain.apply(META_BLOCK, payload);
  const block = blockFromBytes(CHAIN.change.header, CHAIN.change.body);
  const { hash, manifest } = chain.apply(block, CHAIN.change.payload);
  assert.deepEqual(hash, CHAIN.change.hash);
  assert.deepEqual(manifest.governors.keys, [third.publicKey]);
});

test('a replay goes on from where another stands', () => {
  const position = positionOf(META_BLOCK);
  const chain = new MetaChain({ networkId: NETWORK, current: META, position });
  const { block, payload: changed } = next();
  assert.equal(chain.apply(block, changed).index, 1);
  assert.throws(() => chain.apply(block, changed), { code: 'BLOCK_LINK' });
});

test('signatures of others do no harm', () => {
  const chain = new MetaChain();
  const { block } = make({ signers: [MINER, first, third] });
  chain.apply(block, payload);
});

const REFUSED: [string, ErrorCode, () => Made][] = [
  ['a block of chain B', 'BLOCK_LINK', () => make({ header: { chainId: 'B' } })],
  ['a first block of height 1', 'BLOCK_LINK', () => make({ header: { index: 1 } })],
  ['a first block on another', 'BLOCK_LINK', () => make({ header: { prevHash: NETWORK } })],
  ['a first block that points somewhere', 'BLOCK_LINK', () => make({ header: { pointsTo: NETWORK } })],
  ['other bits', 'BLOCK_HASH', () => make({ header: { bits: 0x2000ffff } })],
  ['no work', 'BLOCK_HASH', () => ({ ...genesis, block: withoutWork() })],
  ['another body', 'BLOCK_BODY', () => make({ header: { bodyHash: ZERO_32 } })],
  [
    'another payload signature',
    'SIGNATURE',
    () => make({ header: { payloadSig: signPayload(NETWORK, sha256(payload), pool) } }),
  ],
  ['another payload', 'BLOCK_PAYLOAD', () => ({ ...genesis, payload: changed(payload, 40) })],
  ['a payload cut short', 'BLOCK_PAYLOAD', () => ({ ...genesis, payload: payload.subarray(1) })],
  ['another payload size', 'BLOCK_PAYLOAD', () => make({ header: { payloadBytes: payload.length + 1 } })],
  ['a payload that is no manifest', 'BLOCK_ENCODING', () => make({ payload: Uint8Array.of(0xa0) })],
  ['a body of chain B', 'BLOCK_ENCODING', () => ({ ...genesis, block: withBody(CHAIN.blocks[0]!.body) })],
  ['no signature', 'SIGNATURE', () => make({ signers: [] })],
  ['one signature of two', 'SIGNATURE', () => make({ signers: [first] })],
  ['one governor twice', 'SIGNATURE', () => make({ signers: [first, first] })],
  ['strangers', 'SIGNATURE', () => make({ signers: [first, MINER, pool] })],
  ['signatures for another network', 'SIGNATURE', () => make({ signed: metaDigest(NETWORK, SIGNED) })],
  [
    'signatures for another height',
    'SIGNATURE',
    () => make({ signed: metaDigest(ZERO_32, { ...SIGNED, index: 1 }) }),
  ],
  [
    'signatures for another payload',
    'SIGNATURE',
    () => make({ signed: metaDigest(ZERO_32, { ...SIGNED, payloadHash: ZERO_32 }) }),
  ],
];
for (const [what, code, forged] of REFUSED) {
  test(`${code}: A0 with ${what}`, () => {
    const chain = new MetaChain();
    const bad = forged();
    assert.throws(() => chain.apply(bad.block, bad.payload), { code });
    assert.deepEqual(chain.networkId, ZERO_32);
    chain.apply(META_BLOCK, payload);
  });
}

const REFUSED_NEXT: [string, ErrorCode, () => Made][] = [
  ['the first block again', 'BLOCK_LINK', () => genesis],
  ['another previous hash', 'BLOCK_LINK', () => next({ header: { prevHash: ZERO_32 } })],
  ['a height left out', 'BLOCK_LINK', () => next({ header: { index: 2 } })],
  ['a time before the last', 'BLOCK_LINK', () => next({ header: { timestampMs: 0 } })],
  [
    'signatures on another block',
    'SIGNATURE',
    () =>
      next({ signed: metaDigest(NETWORK, { index: 1, prevHash: ZERO_32, payloadHash: sha256(payload) }) }),
  ],
  ['no head of B', 'BLOCK_LINK', () => next({ header: { pointsTo: ZERO_32 } })],
  ['another tokenizer', 'META_CHANGE', () => next({ manifest: { tokenizer: '[]' } })],
  ['signatures of genesis', 'SIGNATURE', () => next({ signed: metaDigest(ZERO_32, SIGNED) })],
  [
    'a payload signature of genesis',
    'SIGNATURE',
    () => next({ header: { payloadSig: META_BLOCK.header.payloadSig } }),
  ],
  [
    'governors that appoint themselves',
    'SIGNATURE',
    () => next({ manifest: { governors: { threshold: 1, keys: [MINER.publicKey] } }, signers: [MINER] }),
  ],
];
for (const [what, code, forged] of REFUSED_NEXT) {
  test(`${code}: A1 with ${what}`, () => {
    const chain = new MetaChain();
    chain.apply(META_BLOCK, payload);
    const bad = forged();
    assert.throws(() => chain.apply(bad.block, bad.payload), { code });
    assert.equal(chain.current.index, 0);
    const good = next();
    chain.apply(good.block, good.payload);
  });
}

test('every changed bit of a header is refused', () => {
  for (let bit = 0; bit < 256 * 8; bit++) {
    const bad = flipBit(CHAIN.meta.header, bit);
    // Half of all hashes meet the target here, so it is not the work that tells; the time is free in A0.
    if (bit >= 10 * 8 && bit < 18 * 8) continue;
    assert.throws(
      () => new MetaChain().apply(blockFromBytes(bad, CHAIN.meta.body), payload),
      (error: { code?: string }) => /^(BLOCK_|SIGNATURE)/.test(error.code ?? ''),
      `bit ${bit}`,
    );
  }
  assert.equal(decodeHeader(CHAIN.meta.header).timestampMs, 1_767_225_600_000);
});

function withoutWork(): Block {
  const bad = CHAIN.meta.header.slice();
  for (;;) {
    bad[263] = (bad[263] as number) + 1;
    const block = blockFromBytes(bad.slice(), CHAIN.meta.body);
    if ((block.hash[0] as number) >= 0x80) return block;
  }
}

function withBody(body: Uint8Array): Block {
  return grind({ ...META_BLOCK.header, bodyHash: bodyHash(body) }, body);
}
