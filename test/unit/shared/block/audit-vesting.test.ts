import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChainsAudit, type SealedSubmission } from '#shared/block/audit-chains.ts';
import { type AuditedEpoch, checkRevealed, VestingAudit } from '#shared/block/audit-vesting.ts';
import type { EntryKind, JournalEntry } from '#shared/block/journal.ts';
import { ZERO_32 } from '#shared/crypto/bytes.ts';
import { addressOf, sign } from '#shared/crypto/keys.ts';
import type { Loss } from '#shared/pol/sequential.ts';
import { attestationDigest } from '#shared/protocol/attestation.ts';
import { vestingAccount } from '#shared/reward/keyless-account.ts';
import { CHAIN, META_BLOCK, NETWORK, SECOND_WORKER, toBlock, WORKER } from '#test/helpers/forge.ts';

/** The seals of the vectors, as if their Meta block ended epochs of one seal, on five windows each. */
const seals: SealedSubmission[] = (() => {
  const chains = new ChainsAudit();
  chains.applyMeta(META_BLOCK, CHAIN.meta.payload);
  const found = CHAIN.blocks.flatMap((block) => chains.applyParameter(toBlock(block)) ?? []);
  return found.map((sealed) => {
    const { manifest } = sealed.meta;
    const held_out = { root: new Uint8Array(32).fill(90), windows: 5, epoch: { seals: 1, shards: 1 } };
    const validation = { ...manifest.validation, held_out };
    return { ...sealed, meta: { ...sealed.meta, manifest: { ...manifest, validation } } };
  });
})();
const [, first, second] = seals as [SealedSubmission, SealedSubmission, SealedSubmission];
const base: Loss[] = [5_000_000, 5_000_000, 5_000_000, 5_000_000, 5_000_000];
const better = base.map((loss) => (loss as number) - 1_000);
const account = vestingAccount(NETWORK);

function audit(): { vesting: VestingAudit; epoch: AuditedEpoch } {
  const vesting = new VestingAudit(NETWORK);
  for (const sealed of seals) vesting.seal(sealed);
  return { vesting, epoch: vesting.epochs[0] as AuditedEpoch };
}

function evidence(candidate: Loss[], held: boolean, epoch: AuditedEpoch) {
  const about = {
    submission: first.submission,
    head: epoch.root,
    heldOut: epoch.root,
    baseRoot: first.before.root,
    candidateRoot: first.after.root,
    windows: epoch.windows,
  };
  const attestations = [WORKER, SECOND_WORKER].map(({ publicKey, secretKey }) => ({
    ...{ worker: publicKey, backend: 'none', base, candidate },
    signature: sign(attestationDigest(NETWORK, about, { base, candidate }), secretKey),
  }));
  return { submission: first.submission, held, attestations };
}

const entry = (
  kind: EntryKind,
  { submission, miner }: SealedSubmission,
  change: Partial<JournalEntry> = {},
): JournalEntry => ({
  ...{ v: 1, seq: 1_000, prev: ZERO_32, at: 0, kind, ref: submission, amount: 7n },
  from: kind === 'vest' ? addressOf(miner) : account,
  to: kind === 'vest' ? account : kind === 'release' ? addressOf(miner) : null,
  ...change,
});

test('one epoch, as the shards suffice for no more: what held is released, and what came after it too', () => {
  const { vesting, epoch } = audit();
  assert.equal(vesting.epochs.length, 1);
  assert.deepEqual([epoch.isOver, epoch.windows, epoch.members], [true, [0, 1, 2, 3, 4], [first]]);
  vesting.evidence(epoch, evidence(better, true, epoch));
  for (const sealed of [first, second]) vesting.entry(entry('vest', sealed));
  for (const sealed of [first, second]) vesting.entry(entry('release', sealed));
  assert.equal(vesting.finish(), 2);
});

test('what did not hold is forfeited', () => {
  const { vesting, epoch } = audit();
  vesting.evidence(epoch, evidence(base, false, epoch));
  vesting.entry(entry('vest', first));
  vesting.entry(entry('forfeit', first));
  assert.equal(vesting.finish(), 1);
});

test('BLOCK_CERTIFICATE: evidence that says otherwise, of another seal, or not signed', () => {
  const { vesting, epoch } = audit();
  const good = evidence(better, true, epoch);
  const bad = [
    { ...good, held: false },
    evidence(base, true, epoch),
    { ...good, submission: second.submission },
    { ...good, submission: ZERO_32 },
    { ...good, attestations: good.attestations.slice(1) },
    { ...good, attestations: good.attestations.map((one) => ({ ...one, base: better })) },
  ];
  for (const one of bad) assert.throws(() => vesting.evidence(epoch, one), { code: 'BLOCK_CERTIFICATE' });
  assert.throws(() => vesting.evidence({ ...epoch, isOver: false }, good), { code: 'BLOCK_CERTIFICATE' });
});

test('BLOCK_CERTIFICATE: other shards than the epoch has', () => {
  const { epoch } = audit();
  checkRevealed(epoch, { root: epoch.root, indices: [0] });
  for (const told of [
    { root: ZERO_32, indices: [0] },
    { root: epoch.root, indices: [] },
    { root: epoch.root, indices: [1] },
  ])
    assert.throws(() => checkRevealed(epoch, told), { code: 'BLOCK_CERTIFICATE' });
});

const refused: [string, (vesting: VestingAudit) => void][] = [
  ['released without evidence', (vesting) => vesting.entry(entry('release', first))],
  ['forfeited at the end of no epoch', (vesting) => vesting.entry(entry('forfeit', second))],
  ['another amount', (vesting) => vesting.entry(entry('release', second, { amount: 6n }))],
  ['to somebody else', (vesting) => vesting.entry(entry('release', second, { to: account }))],
  [
    'twice',
    (vesting) => {
      vesting.entry(entry('release', second));
      vesting.entry(entry('release', second));
    },
  ],
  ['of no seal', (vesting) => vesting.entry(entry('release', second, { ref: ZERO_32 }))],
  [
    'from another account',
    (vesting) => vesting.entry(entry('release', second, { from: addressOf(second.miner) })),
  ],
  ['spent', (vesting) => vesting.entry(entry('transfer', second))],
];
for (const [what, happens] of refused)
  test(`JOURNAL: what vests, ${what}`, () => {
    const { vesting } = audit();
    for (const sealed of [first, second]) vesting.entry(entry('vest', sealed));
    assert.throws(() => happens(vesting), { code: 'JOURNAL' });
  });

const against: [string, (vesting: VestingAudit) => void][] = [
  ['forfeited though it held', (vesting) => vesting.entry(entry('forfeit', first))],
  ['released before its epoch was over', (vesting) => vesting.entry(entry('release', first, { seq: -1 }))],
  ['kept', (vesting) => void vesting.finish()],
];
for (const [what, happens] of against)
  test(`JOURNAL: what vests, ${what}`, () => {
    const { vesting, epoch } = audit();
    vesting.evidence(epoch, evidence(better, true, epoch));
    vesting.entry(entry('vest', first));
    assert.throws(() => happens(vesting), { code: 'JOURNAL' });
  });

test('entries that are newer than chain and evidence are left to the next audit', () => {
  const { vesting } = audit();
  vesting.entry(entry('vest', first, { ref: ZERO_32 }), true);
  vesting.entry(entry('release', first), true);
  assert.equal(vesting.finish(), 0);
});
