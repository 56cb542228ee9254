import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EntryProof, Proof, TensorProof } from '#shared/api/proof-schemas.ts';
import { decodeEntry, encodeEntry } from '#shared/block/journal.ts';
import { parseProof, verifyProof } from '#shared/block/verify-proof.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { CHAIN, chainAfter, META_BLOCK, toBlock } from '#test/helpers/forge.ts';

const newest = CHAIN.blocks.at(-1)!;
const trusted = newest.hash;
const block = { header: toHex(newest.header), body: toHex(newest.body) };
const entries = CHAIN.submissions[0]!.entries;
const { tensors } = chainAfter(CHAIN.blocks.length).sealed;

const entryProof = (seq: number): EntryProof => ({
  v: 1,
  proof: 'entry',
  entry: toHex(entries[seq]!),
  path: CHAIN.proofs.entries[seq]!.map(toHex),
  ...block,
});

function tensorProof(wanted: string): TensorProof {
  const { name, dtype, shape, payloadHash } = tensors.get(wanted)!;
  const path = CHAIN.proofs.tensors[wanted]!.map(({ side, hash }) => ({ side, hash: toHex(hash) }));
  const tensor = { name, dtype, shape: [...shape], hash: toHex(payloadHash) };
  return { v: 1, proof: 'tensor', tensor, path, ...block };
}

/** Goes through a file, as a proof from a stranger does. */
const check = (proof: object, hash: Uint8Array | undefined = trusted) =>
  verifyProof(parseProof(JSON.stringify(proof)), hash);

const refused = (proof: object, why: string, codes = /^(PROOF|BLOCK_\w+)$/) =>
  assert.throws(
    () => check(proof),
    (error: unknown) => error instanceof PoolError && codes.test(error.code),
    why,
  );

/** Hex with one bit of one byte turned. */
const turned = (hex: string, at: number): string => {
  const byte = (Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16) ^ 1).toString(16).padStart(2, '0');
  return hex.slice(0, 2 * at) + byte + hex.slice(2 * at + 2);
};

/** Paths that are not the one of a proof of at least two siblings. */
function otherPaths<T>(path: readonly T[], change: (item: T) => T): T[][] {
  return [
    [],
    path.slice(1),
    path.slice(0, -1),
    [...path, path[0] as T],
    [...path].reverse(),
    ...path.map((item, i) => path.with(i, change(item))),
  ];
}

describe('proofs', () => {
  it('of every entry and tensor of the vectors hold', () => {
    for (const [seq, bytes] of entries.entries()) {
      const proven = check(entryProof(seq));
      assert.ok(proven.what === 'entry');
      assert.deepEqual(proven.entry, decodeEntry(bytes));
      assert.equal(proven.journal.seq, entries.length);
      assert.deepEqual(proven.block.hash, trusted);
    }
    assert.equal(Object.keys(CHAIN.proofs.tensors).length, tensors.size);
    for (const name of tensors.keys()) {
      const proven = check(tensorProof(name));
      assert.ok(proven.what === 'tensor');
      assert.deepEqual(proven.root, CHAIN.submissions[1]!.root);
    }
  });

  it('without a trusted hash they hold as well: whoever reads compares it', () => {
    assert.deepEqual(verifyProof(entryProof(2)).block.hash, trusted);
  });

  it('BLOCK_HASH: a proof for another block', () => {
    const other = CHAIN.blocks[18]!;
    assert.throws(() => check(entryProof(0), other.hash), { code: 'BLOCK_HASH' });
    refused({ ...entryProof(0), header: toHex(other.header), body: toHex(other.body) }, 'other block');
    refused({ ...entryProof(0), header: toHex(other.header) }, 'other header');
  });

  it('BLOCK_BODY: a body that is not its header’s', () => {
    refused({ ...entryProof(0), body: toHex(CHAIN.blocks[18]!.body) }, 'other body', /^BLOCK_BODY$/);
  });

  it('BLOCK_LINK, BLOCK_BODY: a Meta block, a block that seals nothing', () => {
    const meta = { header: toHex(META_BLOCK.headerBytes), body: toHex(META_BLOCK.body) };
    assert.throws(() => check({ ...entryProof(0), ...meta }, META_BLOCK.hash), { code: 'BLOCK_LINK' });
    const part = CHAIN.blocks[17]!;
    for (const proof of [entryProof(0), tensorProof('transformer.ln_f.bias')])
      assert.throws(
        () => check({ ...proof, header: toHex(part.header), body: toHex(part.body) }, part.hash),
        {
          code: 'BLOCK_BODY',
        },
      );
  });

  it('PROOF: an entry that the journal of the seal does not have yet', () => {
    const later = CHAIN.submissions[1]!.entries[0]!;
    refused({ ...entryProof(0), entry: toHex(later) }, 'later', /^PROOF$/);
    const first = toBlock(CHAIN.blocks[18]!); // made on an empty journal
    assert.throws(
      () =>
        check({ ...entryProof(0), header: toHex(first.headerBytes), body: toHex(first.body) }, first.hash),
      { code: 'PROOF' },
    );
  });

  it('PROOF: another amount, number or path', () => {
    const entry = decodeEntry(entries[1]!);
    const proof = entryProof(1);
    for (const change of [{ amount: entry.amount + 1n }, { seq: 0 }, { seq: 2 }, { to: null }, { at: 0 }])
      refused(
        { ...proof, entry: toHex(encodeEntry({ ...entry, ...change })) },
        JSON.stringify(Object.keys(change)),
        /^PROOF$/,
      );
    for (const path of otherPaths(proof.path, (hash) => turned(hash, 31)))
      refused({ ...proof, path }, path.join(), /^PROOF$/);
  });

  it('PROOF: another tensor, or the same with other bytes, type or shape', () => {
    const proof = tensorProof('transformer.wte.weight');
    const { tensor } = proof;
    for (const change of [
      { name: 'transformer.wpe.weight' },
      { dtype: 'BF16' },
      { shape: [...tensor.shape].reverse() },
      { shape: [] },
      { hash: turned(tensor.hash, 0) },
    ])
      refused({ ...proof, tensor: { ...tensor, ...change } }, JSON.stringify(change), /^PROOF$/);
    for (const path of otherPaths(proof.path, (step) => ({ ...step, hash: turned(step.hash, 0) })))
      refused({ ...proof, path }, JSON.stringify(path), /^PROOF$/);
    for (const [i, step] of proof.path.entries()) {
      const side = step.side === 'left' ? 'right' : 'left';
      refused({ ...proof, path: proof.path.with(i, { ...step, side }) }, `side ${i}`, /^PROOF$/);
    }
  });

  it('every changed byte of entry, header and body is refused', () => {
    const proof = entryProof(3);
    for (const field of ['entry', 'header', 'body'] as const)
      for (let at = 0; at < proof[field].length / 2; at++)
        refused({ ...proof, [field]: turned(proof[field], at) }, `${field} byte ${at}`);
  });

  it('PROOF: a file that is none', () => {
    const proof: Proof = entryProof(0);
    const texts = [
      '',
      'null',
      '[]',
      '"proof"',
      '{}',
      `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
      JSON.stringify({ ...proof, v: 2 }),
      JSON.stringify({ ...proof, proof: 'block' }),
      JSON.stringify({ ...proof, extra: 1 }),
      `{"__proto__":{},${JSON.stringify(proof).slice(1)}`,
      JSON.stringify({ ...proof, entry: `${proof.entry}0` }),
      JSON.stringify({ ...proof, header: proof.header.slice(2) }),
      JSON.stringify({ ...proof, header: proof.header.toUpperCase() }),
      JSON.stringify({ ...proof, path: proof.path.map((hash) => `0x${hash}`) }),
      JSON.stringify({ ...proof, path: Array(54).fill(proof.path[0]) }),
      JSON.stringify({
        ...tensorProof('transformer.wte.weight'),
        path: [{ side: 'up', hash: '0'.repeat(64) }],
      }),
    ];
    for (const text of texts) assert.throws(() => parseProof(text), { code: 'PROOF' }, text.slice(0, 80));
  });
});
