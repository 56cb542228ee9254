import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sha256 } from '@noble/hashes/sha2.js';
import { bodyHash, encodeBody, type Seal } from '#shared/block/body.ts';
import { type BlockHeader, blockHash } from '#shared/block/header.ts';
import {
  decodeEntry,
  EMPTY_JOURNAL,
  type JournalLink,
  linkEntries,
  rewardsHash,
} from '#shared/block/journal.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import { GENESIS_BITS, ParameterChain } from '#shared/block/parameter-chain.ts';
import { BEFORE_GENESIS, type Block, blockFromBytes } from '#shared/block/verify-block.ts';
import { NO_WORK } from '#shared/block/work-log.ts';
import { ZERO_32 } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { merkleRoot } from '#shared/crypto/merkle.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { genesisSalt } from '#shared/pol/salts.ts';
import { bitsFromTarget, targetFromBits } from '#shared/pow/target.ts';
import { signPayload } from '#shared/protocol/submission.ts';
import {
  attest,
  bodyAt,
  CHAIN,
  chainAfter,
  changed,
  forge,
  grind,
  headerAt,
  META,
  MINER,
  NETWORK,
  SECOND_WORKER,
  toBlock,
  WORKER,
} from '#test/helpers/forge.ts';
import { flipBit } from '#test/helpers/vectors.ts';

/** First, second and last part of a submission of three; the single part of the next one. */
const [FIRST, SECOND, LAST, SINGLE] = [16, 17, 18, 19] as const;
const seal = bodyAt(LAST).seal as Seal;
const certificate = seal.certificate!;
const sealedGenesis = chainAfter(FIRST).sealed;
const target = {
  submission: bodyAt(LAST).submission,
  head: sealedGenesis.position.hash,
  baseRoot: sealedGenesis.root,
  candidateRoot: bodyAt(LAST).root,
  windows: certificate.windows,
};

test('the whole chain of the vectors is accepted, with its roots, verdicts, salts and rewards', () => {
  const chain = new ParameterChain(NETWORK);
  const verdicts = CHAIN.blocks.map((stored) => {
    const block = toBlock(stored);
    assert.deepEqual(block.hash, stored.hash);
    assert.deepEqual(block.header.payloadHash, sha256(stored.payload));
    return chain.apply(block, META).verdict;
  });
  const sealing = verdicts.flatMap((verdict, index) => (verdict === undefined ? [] : [{ verdict, index }]));
  assert.deepEqual(
    sealing.map(({ index }) => index),
    [15, LAST, SINGLE],
  );
  assert.deepEqual(
    sealing.map(({ verdict }) => verdict),
    [null, ...CHAIN.submissions.map((s) => ({ ...s.verdict, stop: 'clear' }))],
  );
  const { sealed } = chain;
  assert.deepEqual(sealed.root, CHAIN.submissions[1]!.root);
  assert.deepEqual(sealed.saltHash, sha256(CHAIN.submissions[1]!.next_salt));
  assert.equal(sealed.tensors.get('transformer.wte.weight')?.height, SINGLE);
  assert.equal(sealed.tensors.get('transformer.ln_f.bias')?.height, 12);
  assert.ok(!chain.isOpen);
});

test('the salt of genesis is public, and the seals commit to journal and rewards', () => {
  assert.deepEqual(genesisSalt(NETWORK), CHAIN.genesis.salt);
  assert.deepEqual(seal.salt, CHAIN.genesis.salt);
  let journal: JournalLink = EMPTY_JOURNAL;
  const standing: Uint8Array[] = [];
  for (const [i, { entries }] of CHAIN.submissions.entries()) {
    const { seal: at } = bodyAt([LAST, SINGLE][i]!);
    assert.deepEqual(at?.journal, { ...journal, root: merkleRoot(standing) });
    const moves = entries
      .map(decodeEntry)
      .map(({ kind, ref, from, to, amount }) => ({ kind, ref, from, to, amount }));
    assert.deepEqual(at?.rewards, rewardsHash(NETWORK, moves));
    const linked = linkEntries(NETWORK, journal, { moves, at: decodeEntry(entries[0]!).at });
    assert.deepEqual(
      linked.entries.map(({ bytes }) => bytes),
      entries,
    );
    journal = linked.head;
    standing.push(...entries);
  }
  assert.deepEqual({ ...journal, root: merkleRoot(standing) }, CHAIN.journal);
});

test('a chain goes on from a sealed model as from its first block', () => {
  const chain = new ParameterChain(NETWORK, sealedGenesis);
  for (const stored of CHAIN.blocks.slice(FIRST)) chain.apply(toBlock(stored), META);
  assert.deepEqual(chain.sealed, chainAfter(20).sealed);
});

const elsewhere = keyPair(sha256(Uint8Array.of(1)));
const forgedSeal = (change: object) => forge(LAST, { body: { seal: { ...seal, ...change } } });
const forgedCertificate = (change: object) => forgedSeal({ certificate: { ...certificate, ...change } });
const losses = certificate.attestations[0]!;
const both = (change: { base?: number[]; candidate?: number[] }, at: object = {}) =>
  forgedCertificate({
    attestations: [WORKER, SECOND_WORKER].map((w) =>
      attest(w, { ...target, ...at }, { ...losses, ...change }),
    ),
  });
const other = bodyAt(SECOND);
const payloadOf = (index: number) => headerAt(index).payloadHash;
/** Another tensor in place of a part's own, as far as the header goes. */
const payload = (hash: Uint8Array, bytes: number, key = MINER): Partial<BlockHeader> => ({
  payloadHash: hash,
  payloadBytes: bytes,
  payloadSig: signPayload(NETWORK, hash, key),
});

/** Each: what is wrong, the code that refuses it, after how many blocks it comes, the block. */
const REFUSED: [string, ErrorCode, number, () => Block][] = [
  ['a block of chain A', 'BLOCK_LINK', FIRST, () => forge(FIRST, { header: { chainId: 'A' } })],
  ['another previous hash', 'BLOCK_LINK', FIRST, () => forge(FIRST, { header: { prevHash: NETWORK } })],
  ['a height left out', 'BLOCK_LINK', FIRST, () => forge(FIRST, { header: { index: 17 } })],
  ['the same height again', 'BLOCK_LINK', SECOND, () => toBlock(CHAIN.blocks[FIRST]!)],
  [
    'a time before the last block',
    'BLOCK_LINK',
    FIRST,
    () => forge(FIRST, { header: { timestampMs: 1_767_225_599_999 } }),
  ],
  ['another Meta block', 'BLOCK_LINK', FIRST, () => forge(FIRST, { header: { pointsTo: ZERO_32 } })],
  ['another body hash', 'BLOCK_BODY', FIRST, () => forge(FIRST, { header: { bodyHash: ZERO_32 } })],
  [
    'another body',
    'BLOCK_BODY',
    FIRST,
    () => blockFromBytes(CHAIN.blocks[FIRST]!.header, CHAIN.blocks[SECOND]!.body),
  ],
  ['no work', 'BLOCK_HASH', FIRST, () => withoutWork(FIRST)],
  ['easier bits', 'BLOCK_HASH', FIRST, () => forge(FIRST, { header: { bits: 0x207fffff } })],
  ['harder bits', 'BLOCK_HASH', FIRST, () => forge(FIRST, { header: { bits: 0x2000fffe } })],
  ['other bits than genesis has', 'BLOCK_HASH', 0, () => forge(0, { header: { bits: 0x2000ffff } })],
  ['bits in a longer form', 'BLOCK_ENCODING', FIRST, () => withBits(FIRST, 0x210000ff)],
  [
    'another signature',
    'SIGNATURE',
    FIRST,
    () => forge(FIRST, { header: { payloadSig: headerAt(SECOND).payloadSig } }),
  ],
  [
    'a signature for another network',
    'SIGNATURE',
    FIRST,
    () => forge(FIRST, { header: { payloadSig: signPayload(ZERO_32, payloadOf(FIRST), MINER) } }),
  ],
  ['another miner', 'SIGNATURE', FIRST, () => forge(FIRST, { header: { minerPub: WORKER.publicKey } })],
  [
    'a miner’s key off the curve',
    'SIGNATURE',
    FIRST,
    () => forge(FIRST, { header: { minerPub: new Uint8Array(33) } }),
  ],
  ['a body that is no CBOR', 'BLOCK_ENCODING', FIRST, () => rawBody(FIRST, Uint8Array.of(0xff))],
  [
    'a body with a byte behind it',
    'BLOCK_ENCODING',
    FIRST,
    () => rawBody(FIRST, Uint8Array.of(...CHAIN.blocks[FIRST]!.body, 0)),
  ],
  ['another root', 'BLOCK_ROOT', FIRST, () => forge(FIRST, { body: { root: other.root } })],
  ['a root of another chain', 'BLOCK_ROOT', 0, () => forge(0, { body: { root: ZERO_32 } })],
  [
    'a tensor the model has not',
    'WEIGHTS_NAMES',
    FIRST,
    () => forge(FIRST, { body: { name: 'lm_head.weight' } }),
  ],
  ['a tensor named __proto__', 'WEIGHTS_NAMES', FIRST, () => forge(FIRST, { body: { name: '__proto__' } })],
  ['another shape', 'WEIGHTS_SHAPE', FIRST, () => forge(FIRST, { body: { shape: [4, 1] } })],
  [
    'another rank',
    'WEIGHTS_SHAPE',
    FIRST,
    () => forge(FIRST, { body: { shape: [...bodyAt(FIRST).shape, 1] } }),
  ],
  [
    'another payload size',
    'BLOCK_PAYLOAD',
    FIRST,
    () => forge(FIRST, { header: { payloadBytes: headerAt(FIRST).payloadBytes + 4 } }),
  ],
  ['another dtype than the size has', 'BLOCK_PAYLOAD', FIRST, () => forge(FIRST, { body: { dtype: 'F16' } })],
  [
    'another dtype than the head has',
    'WEIGHTS_DTYPE',
    FIRST,
    () =>
      forge(FIRST, { body: { dtype: 'BF16' }, header: { payloadBytes: headerAt(FIRST).payloadBytes / 2 } }),
  ],
  [
    'a tensor that does not change',
    'PAYLOAD_KNOWN',
    FIRST,
    () => forge(FIRST, { header: payload(payloadOf(3), headerAt(3).payloadBytes) }),
  ],
  ['part 1 first', 'BLOCK_BODY', FIRST, () => forge(FIRST, { body: { part: 1 } })],
  ['part 2 second', 'BLOCK_BODY', SECOND, () => forge(SECOND, { body: { part: 2 } })],
  ['part 0 again', 'BLOCK_BODY', SECOND, () => forge(SECOND, { body: { part: 0 } })],
  ['another number of parts', 'BLOCK_BODY', SECOND, () => forge(SECOND, { body: { parts: 4 } })],
  [
    'another submission within one',
    'BLOCK_BODY',
    SECOND,
    () => forge(SECOND, { body: { submission: NETWORK } }),
  ],
  [
    'another miner within one',
    'BLOCK_BODY',
    SECOND,
    () =>
      forge(SECOND, {
        header: {
          minerPub: elsewhere.publicKey,
          payloadSig: signPayload(NETWORK, payloadOf(SECOND), elsewhere),
        },
      }),
  ],
  ['one tensor twice', 'BLOCK_BODY', SECOND, () => twice()],
  ['tensors out of name order', 'BLOCK_BODY', SECOND, () => outOfOrder()],
  [
    'no submission id behind genesis',
    'BLOCK_BODY',
    FIRST,
    () => forge(FIRST, { body: { submission: ZERO_32 } }),
  ],
  ['a submission id in genesis', 'BLOCK_BODY', 0, () => forge(0, { body: { submission: NETWORK } })],
  ['a seal before the last part', 'BLOCK_BODY', FIRST, () => forge(FIRST, { body: { seal } })],
  ['no seal in the last part', 'BLOCK_BODY', LAST, () => forge(LAST, { body: { seal: undefined } })],
  ['an unsealed single part', 'BLOCK_BODY', SINGLE, () => forge(SINGLE, { body: { seal: undefined } })],
  [
    'fewer tensors than the model has',
    'WEIGHTS_NAMES',
    0,
    () => forge(0, { body: { parts: 1, seal: bodyAt(15).seal } }),
  ],
  [
    'genesis with a certificate',
    'BLOCK_CERTIFICATE',
    15,
    () => forge(15, { body: { seal: { ...bodyAt(15).seal, certificate } } }),
  ],
  ['no certificate', 'BLOCK_CERTIFICATE', LAST, () => forgedSeal({ certificate: null })],
  [
    'work units in genesis',
    'BLOCK_BODY',
    15,
    () => {
      const work = { ...NO_WORK, grinding: { seq: 1, head: NETWORK } };
      return forge(15, { body: { seal: { ...bodyAt(15).seal, work } } });
    },
  ],
  [
    'fewer work units',
    'BLOCK_BODY',
    19,
    () => {
      const work = { ...NO_WORK, grinding: { seq: 0, head: NETWORK } };
      return forge(19, { body: { seal: { ...bodyAt(19).seal, work } } });
    },
  ],
  [
    'other work units, as many',
    'BLOCK_BODY',
    LAST,
    () => forgedSeal({ work: { ...seal.work, grinding: { ...seal.work.grinding, head: NETWORK } } }),
  ],
  ['another base', 'BLOCK_CERTIFICATE', LAST, () => forgedSeal({ base: target.candidateRoot })],
  ['another salt', 'BLOCK_CERTIFICATE', LAST, () => forgedSeal({ salt: changed(seal.salt, 31) })],
  ['another head', 'BLOCK_CERTIFICATE', LAST, () => forgedCertificate({ head: NETWORK })],
  [
    'other windows',
    'BLOCK_CERTIFICATE',
    LAST,
    () => forgedCertificate({ windows: target.windows.with(0, 11 - target.windows[0]!) }),
  ],
  [
    'windows in another order',
    'BLOCK_CERTIFICATE',
    LAST,
    () => forgedCertificate({ windows: [...target.windows].reverse() }),
  ],
  ['a window less', 'BLOCK_CERTIFICATE', LAST, () => forgedCertificate({ windows: target.windows.slice(1) })],
  [
    'a loss the worker did not sign',
    'BLOCK_CERTIFICATE',
    LAST,
    () =>
      forgedCertificate({
        attestations: certificate.attestations.with(1, { ...losses, base: losses.base.with(0, 1) }),
      }),
  ],
  [
    'a signature of another worker',
    'BLOCK_CERTIFICATE',
    LAST,
    () => forgedCertificate({ attestations: [losses, { ...losses, worker: SECOND_WORKER.publicKey }] }),
  ],
  ['one attestation of two', 'BLOCK_CERTIFICATE', LAST, () => forgedCertificate({ attestations: [losses] })],
  [
    'one worker twice',
    'BLOCK_CERTIFICATE',
    LAST,
    () => forgedCertificate({ attestations: [losses, losses] }),
  ],
  [
    'losses for fewer windows',
    'BLOCK_CERTIFICATE',
    LAST,
    () => both({ base: losses.base.slice(1), candidate: losses.candidate.slice(1) }),
  ],
  [
    'fewer losses of the candidate',
    'BLOCK_CERTIFICATE',
    LAST,
    () => both({ candidate: losses.candidate.slice(1) }),
  ],
  ['losses of another candidate', 'BLOCK_CERTIFICATE', LAST, () => both({}, { candidateRoot: ZERO_32 })],
  ['losses of another base', 'BLOCK_CERTIFICATE', LAST, () => both({}, { baseRoot: ZERO_32 })],
  ['losses on another head', 'BLOCK_CERTIFICATE', LAST, () => both({}, { head: ZERO_32 })],
  ['losses of another submission', 'BLOCK_CERTIFICATE', LAST, () => both({}, { submission: ZERO_32 })],
  ['a loss that did not fall', 'BLOCK_CERTIFICATE', LAST, () => both({ candidate: losses.base })],
  [
    'a loss that rose',
    'BLOCK_CERTIFICATE',
    LAST,
    () => both({ base: losses.candidate, candidate: losses.base }),
  ],
  [
    'a gain by one lucky window',
    'BLOCK_CERTIFICATE',
    LAST,
    () => both({ candidate: losses.base.with(0, 0) }),
  ],
  ['attestations that do not agree', 'BLOCK_CERTIFICATE', LAST, () => disagreeing(11)],
];

for (const [what, code, count, make] of REFUSED) {
  test(`${code}: ${what}`, () => {
    const chain = chainAfter(count);
    const before = { sealed: chain.sealed, isOpen: chain.isOpen };
    const block = make();
    assert.throws(() => chain.apply(block, META), { code });
    // A refused block leaves nothing behind: what comes next is still accepted.
    assert.deepEqual({ sealed: chain.sealed, isOpen: chain.isOpen }, before);
    for (const stored of CHAIN.blocks.slice(count)) chain.apply(toBlock(stored), META);
    assert.deepEqual(chain.sealed.root, CHAIN.submissions[1]!.root);
  });
}

test('attestations that differ by the tolerance agree', () => {
  chainAfter(LAST).apply(disagreeing(10), META);
});

describe('with a target that follows the hash rate', () => {
  const retarget = { aim_ms: 1_000, window_blocks: 1, clamp: 4, easiest_bits: GENESIS_BITS };
  const manifest = { ...META.manifest, pow: { ...META.manifest.pow, retarget } };
  const meta: MetaBlock = { ...META, manifest };
  /** The first submission of the vectors took no time at all: its third block is to be four times harder. */
  const start = () => {
    const chain = chainAfter(FIRST);
    for (const index of [FIRST, SECOND]) chain.apply(toBlock(CHAIN.blocks[index]!), meta);
    return chain;
  };
  const harder = bitsFromTarget(targetFromBits(META.manifest.pow.bits) / 4n);

  test('BLOCK_HASH: a block with the bits of before', () => {
    assert.throws(() => start().apply(toBlock(CHAIN.blocks[LAST]!), meta), { code: 'BLOCK_HASH' });
  });

  test('takes the block with the bits that follow, and keeps them with the seal', () => {
    const chain = start();
    chain.apply(forge(LAST, { header: { bits: harder } }), meta);
    const { bits, blocks } = chain.sealed.pow;
    assert.deepEqual([bits, blocks], [bitsFromTarget(targetFromBits(harder) / 4n), 0]);
  });
});

test('every changed bit of a header is refused', () => {
  const { header, body } = CHAIN.blocks[SINGLE]!;
  const chain = chainAfter(SINGLE);
  const codes = /^(BLOCK_|SIGNATURE$)/;
  for (let bit = 0; bit < header.length * 8; bit++) {
    const bad = flipBit(header, bit);
    // Another nonce or time may have the work, once in 256: then it is another valid block.
    const isFree = bit >= 256 * 8 || (bit >= 10 * 8 && bit < 18 * 8);
    if (isFree && blockHash(bad)[0] === 0) continue;
    assert.throws(
      () => chain.apply(blockFromBytes(bad, body), META),
      (error: { code?: string }) => codes.test(error.code ?? ''),
      `bit ${bit}`,
    );
  }
});

test('BLOCK_BODY: every changed byte of a body', () => {
  const { header, body } = CHAIN.blocks[SINGLE]!;
  const chain = chainAfter(SINGLE);
  for (let at = 0; at < body.length; at++)
    assert.throws(() => chain.apply(blockFromBytes(header, changed(body, at)), META), { code: 'BLOCK_BODY' });
});

function disagreeing(microNats: number): Block {
  const second = {
    base: losses.base,
    candidate: losses.candidate.map((loss, i) => (i === 3 ? loss - microNats : loss)),
  };
  return forgedCertificate({
    attestations: [attest(WORKER, target, losses), attest(SECOND_WORKER, target, second)],
  });
}

function rawBody(index: number, body: Uint8Array): Block {
  return grind({ ...headerAt(index), bodyHash: bodyHash(body) }, body);
}

/** The header as it is, with the first nonce whose hash misses the target. */
function withoutWork(index: number): Block {
  const { header, body } = CHAIN.blocks[index]!;
  const bad = header.slice();
  for (;;) {
    bad[263] = (bad[263] as number) + 1;
    const block = blockFromBytes(bad.slice(), body);
    if (block.hash[0] !== 0) return block;
  }
}

function withBits(index: number, bits: number): Block {
  const { header, body } = CHAIN.blocks[index]!;
  const bad = header.slice();
  new DataView(bad.buffer).setUint32(252, bits);
  return blockFromBytes(bad, body);
}

/** The second part changes the tensor of the first one again. */
function twice(): Block {
  const { name, dtype, shape } = bodyAt(FIRST);
  const hash = sha256(Uint8Array.of(7));
  return forge(SECOND, { body: { name, dtype, shape }, header: payload(hash, headerAt(FIRST).payloadBytes) });
}

/** The second part changes a tensor whose name comes before that of the first one. */
function outOfOrder(): Block {
  const { name, dtype, shape } = bodyAt(0);
  const hash = sha256(Uint8Array.of(8));
  const body = encodeBody({ ...bodyAt(SECOND), name, dtype, shape });
  return grind(
    { ...headerAt(SECOND), ...payload(hash, headerAt(0).payloadBytes), bodyHash: bodyHash(body) },
    body,
  );
}

test('BLOCK_LINK: genesis stands on nothing', () => {
  assert.deepEqual(headerAt(0).prevHash, BEFORE_GENESIS.hash);
  assert.throws(() => new ParameterChain(NETWORK).apply(forge(0, { header: { prevHash: NETWORK } }), META), {
    code: 'BLOCK_LINK',
  });
});
