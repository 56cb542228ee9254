import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex, u64be } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { type Allowance, allowanceDigest } from '#shared/protocol/allowance.ts';
import { BURN_ADDRESS, type Transfer, transferDigest, transferMove } from '#shared/protocol/transfer.ts';
import { chatAccount } from '#shared/reward/keyless-account.ts';
import { CHAIN, MINER, NETWORK } from '#test/helpers/forge.ts';
import {
  accounts,
  movesOf,
  NO_ENTRY,
  relinked,
  StoredPoolServer,
  type TimedMove,
  vectorPool,
} from '#test/helpers/stored-pool.ts';
import { auditPool, type PoolReport } from '#worker/audit/pool-audit.ts';
import { SILENT } from '#worker/audit/progress.ts';
import { HttpSource } from '#worker/audit/source.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { signAllowance } from '#worker/wallet/allow-chat.ts';
import { signTransfer } from '#worker/wallet/send.ts';

const POOL = keyPair(CHAIN.secrets.pool);
const THIEF = keyPair(new Uint8Array(32).fill(5));
const FRIEND = keyPair(new Uint8Array(32).fill(6)).address;
const TIME = 1_767_225_900_000;
const EXPIRY = 1_800_000_000n;
const server = await StoredPoolServer.start();

/** The pool of the vectors, whose journal goes on with these moves, and what it shows for them. */
async function audited(
  moves: readonly TimedMove[],
  shown: ReadonlyMap<string, unknown>,
): Promise<PoolReport> {
  const pool = vectorPool();
  server.pool = { ...pool, ...accounts(relinked([...movesOf(pool.journal), ...moves])) };
  for (const [path, view] of shown) server.pool.signed.set(path, view);
  const signal = new AbortController().signal;
  return auditPool(
    { chain: 'both', payloads: false, losses: 0 },
    {
      source: new HttpSource(new ApiClient(server.url), signal),
      ...{ progress: SILENT, signal, now: () => 0, random: () => 0.5 },
      evaluator: () => Promise.reject(new Error('no loss is asked for')),
    },
  );
}

const counted = ({ checks }: PoolReport, name: string) => checks.find(({ what }) => what === name)?.count;

function refused({ finding }: PoolReport, code: string): void {
  assert.equal(finding?.code, code, finding?.message);
  assert.match(finding?.at ?? '', /^journal entry \d+$/);
}

describe('transfers of the journal', () => {
  interface Made {
    readonly key?: KeyPair;
    readonly change?: Partial<Transfer>;
    /** What the entry says that was not signed. */
    readonly moved?: Partial<TimedMove>;
    readonly kept?: boolean;
  }

  /** The miner pays twice; the second payment is made as told. */
  function made({ key = MINER, change = {}, moved = {}, kept = true }: Made = {}) {
    const shown = new Map<string, unknown>();
    const payment = (transfer: Transfer, signer: KeyPair): TimedMove => {
      const ref = transferDigest(NETWORK, transfer);
      const { nonce, expiry, signature } = signTransfer(NETWORK, transfer, signer);
      const view = { digest: toHex(ref), entry: NO_ENTRY, nonce, expiry, signature };
      shown.set(`transfer/${toHex(ref)}`, view);
      return { ...transferMove(ref, transfer), time: TIME };
    };
    const transfer = { from: MINER.address, to: FRIEND, amount: 7n, nonce: 0n, expiry: EXPIRY };
    const first = payment(transfer, MINER);
    const second = payment({ ...transfer, nonce: 1n, ...change }, key);
    if (!kept) shown.delete(`transfer/${toHex(second.ref)}`);
    return [[first, { ...second, ...moved }], shown] as const;
  }

  it('are a line of the report where their senders signed them', async () => {
    const report = await audited(...made());
    assert.equal(report.finding, undefined);
    assert.equal(counted(report, 'transfers'), 2);
  });

  it('may burn, as their senders signed', async () => {
    const report = await audited(...made({ change: { to: BURN_ADDRESS } }));
    assert.equal(report.finding, undefined);
    assert.equal(counted(report, 'transfers'), 2);
  });

  const REFUSED: [string, string, Made][] = [
    ['JOURNAL', 'that burns what was to be paid', { moved: { kind: 'burn', to: null } }],
    [
      'JOURNAL',
      'that pays what was to be burned',
      { change: { to: BURN_ADDRESS }, moved: { kind: 'transfer', to: BURN_ADDRESS } },
    ],
    ['SIGNATURE', 'that burns and that somebody else signed', { change: { to: BURN_ADDRESS }, key: THIEF }],
    ['SIGNATURE', 'that somebody else signed', { key: THIEF }],
    ['JOURNAL', 'of another amount', { moved: { amount: 8n } }],
    ['JOURNAL', 'to somebody else', { moved: { to: THIEF.address } }],
    ['JOURNAL', 'from somebody else', { moved: { from: POOL.address } }],
    ['JOURNAL', 'after it had expired', { moved: { time: 1_800_000_001_000 } }],
    ['JOURNAL', 'whose number was used before', { change: { nonce: 0n, amount: 9n } }],
    ['JOURNAL', 'that leaves a number out', { change: { nonce: 2n } }],
    ['NOT_FOUND', 'that nobody signed', { kept: false }],
  ];
  for (const [code, what, how] of REFUSED)
    it(`${code}: one ${what}`, async () => refused(await audited(...made(how)), code));
});

describe('paid chats of the journal', () => {
  const allowance: Allowance = { account: MINER.address, limit: 100n, nonce: 1n, expiry: EXPIRY };

  interface Chat {
    readonly reserved: bigint;
    readonly refunded: bigint;
    readonly number: number;
    readonly key?: KeyPair;
    readonly from?: string;
    readonly time?: number;
    readonly shownAs?: number;
  }

  function made(chats: readonly Chat[]) {
    const shown = new Map<string, unknown>();
    const id = allowanceDigest(NETWORK, allowance);
    const escrow = chatAccount(NETWORK);
    const moves = chats.flatMap((chat): TimedMove[] => {
      const { reserved, refunded, number, key = MINER, from = MINER.address, time = TIME } = chat;
      const ref = digest('chat', NETWORK, id, u64be(number));
      shown.set(`chats/${toHex(ref)}`, {
        ...{ ref: toHex(ref), allowance: toHex(id), number: chat.shownAs ?? number, reserved: '1' },
        ...{ token_units: '1', signed: signAllowance(NETWORK, allowance, key) },
      });
      const settled = reserved - refunded;
      const each = { ref, time };
      return [
        { kind: 'chat-reserve', ...each, from, to: escrow, amount: reserved },
        ...(settled > 0n
          ? [{ kind: 'chat-settle', ...each, from: escrow, to: FRIEND, amount: settled } as const]
          : []),
        ...(refunded > 0n
          ? [{ kind: 'chat-refund', ...each, from: escrow, to: from, amount: refunded } as const]
          : []),
      ];
    });
    return [moves, shown] as const;
  }

  it('are a line of the report where an allowance covers them, and what comes back can be spent again', async () => {
    const report = await audited(
      ...made([
        { number: 0, reserved: 90n, refunded: 60n },
        { number: 1, reserved: 70n, refunded: 0n },
      ]),
    );
    assert.equal(report.finding, undefined);
    assert.equal(counted(report, 'paid chats'), 2);
  });

  const once = { number: 0, reserved: 90n, refunded: 60n };
  const REFUSED: [string, string, Chat[]][] = [
    ['SIGNATURE', 'whose allowance somebody else signed', [{ ...once, key: THIEF }]],
    ['JOURNAL', 'from another account', [{ ...once, from: POOL.address }]],
    ['JOURNAL', 'beyond the limit', [once, { number: 1, reserved: 71n, refunded: 0n }]],
    ['JOURNAL', 'that leaves a number out', [{ ...once, number: 1 }]],
    ['JOURNAL', 'that is shown as another', [{ ...once, shownAs: 1 }]],
    ['JOURNAL', 'after its allowance had expired', [{ ...once, time: 1_800_000_001_000 }]],
  ];
  for (const [code, what, chats] of REFUSED)
    it(`${code}: one ${what}`, async () => refused(await audited(...made(chats)), code));

  it('NOT_FOUND: one for which the pool shows nothing', async () => {
    const [moves] = made([once]);
    refused(await audited(moves, new Map()), 'NOT_FOUND');
  });
});
