import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { UNSAFE_DEV_POOL } from '#coordinator/chain/genesis/dev-keys.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { type EntryView, entriesSchema, paidChatSchema } from '#shared/api/account-schemas.ts';
import { type ChatEvent, chatEventSchema } from '#shared/api/chat-schemas.ts';
import { fromHex, toHex, u64be } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import { type Allowance, allowanceDigest, parseAllowance } from '#shared/protocol/allowance.ts';
import { chatAccount } from '#shared/reward/keyless-account.ts';
import { aiblock } from '#test/helpers/child.ts';
import type { ChatTask, FakeWorker } from '#test/helpers/fake-worker.ts';
import { proposalFor, propose } from '#test/helpers/proposal.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { signAllowance } from '#worker/wallet/allow-chat.ts';
import { send } from '#worker/wallet/send.ts';

const FEE = 1_000n;
const home = await tempDir();

describe('chat fees', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  let api: ApiClient;
  let network: Uint8Array;
  const miner = newKeyPair();
  const owner = newKeyPair();
  let worker: FakeWorker;
  let onChat: (self: FakeWorker, task: ChatTask) => void;

  before(async () => {
    pool = await TestCoordinator.start();
    const judge = await pool.attach({ roles: ['evaluate', 'mine'] });
    const file = fileOf(await pool.model(), { key: miner, tensors: { [SMALL_TENSOR]: 0.5 } });
    await post(pool.url, file, '/mine');
    await pool.reaches(file.id, 'paid');
    await judge.close();
    const priced = await proposalFor(pool.url, () => ({ fees: { chat_token_units: FEE } }));
    assert.equal((await propose(pool.url, priced)).status, 201);
    await connect();
  });
  after(() => pool.destroy());

  const connect = async () => {
    api = new ApiClient(pool.url);
    network = fromHex((await pool.model()).network, 32);
    worker = await pool.attach({ roles: ['chat'], key: owner, onChat: (self, task) => onChat(self, task) });
  };
  const says =
    (...words: string[]) =>
    (self: FakeWorker, { chat }: ChatTask) => {
      for (const text of words) self.send({ type: 'chat-token', chat, text });
      self.send({ type: 'chat-done', chat, tokens: words.length, reason: 'stop' });
    };
  const allow = (change: Partial<Allowance> = {}, key: KeyPair = miner) =>
    signAllowance(
      network,
      {
        account: key.address,
        limit: 1_000_000n,
        nonce: BigInt(Math.floor(Math.random() * 2 ** 52)),
        expiry: BigInt(Math.floor(Date.now() / 1000) + 600),
        ...change,
      },
      key,
    );
  const ask = async (body: object, headers = {}, path = '/chat') => {
    const response = await fetch(new URL(path, pool.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    return {
      status: response.status,
      body: (await response.json()) as { text?: string; error?: { code: string } },
    };
  };
  const balance = async (address: string) => BigInt((await api.account(address)).balance);
  const entries = async (address: string): Promise<EntryView[]> =>
    entriesSchema.parse((await pool.get(`/accounts/${address}/entries`)).body).entries;
  const settled = async () =>
    until('everything is settled', async () => (await balance(chatAccount(network))) === 0n);

  it('PAYMENT: nothing is answered that nobody pays', async () => {
    onChat = says('call', ' me');
    const asked = worker.received.length;
    assert.deepEqual(
      [(await ask({ prompt: 'who?' })).body.error?.code, (await ask({ prompt: 'x' })).status],
      ['PAYMENT', 402],
    );
    const other = newKeyPair();
    const refused: [string, object][] = [
      ['SIGNATURE', { ...allow(), account: other.address }],
      ['SIGNATURE', { ...allow(), limit: '2000000' }],
      ['SIGNATURE', { ...allow(), signature: '0x00' }],
      ['TRANSFER_EXPIRED', allow({ expiry: 1n })],
      ['PAYMENT', allow({ limit: FEE - 1n })],
      ['FUNDS', allow({}, other)],
      ['ADDRESS', { ...allow(), account: '0x12' }],
      ['AMOUNT', { ...allow(), limit: '1e3' }],
      ['BAD_REQUEST', { ...allow(), more: 1 }],
    ];
    for (const [code, payment] of refused)
      assert.equal((await ask({ prompt: 'who?', payment })).body.error?.code, code);
    assert.equal(worker.received.length, asked, 'no worker was asked');
  });

  it('bills what was delivered, splits it to the last unit, and gives the rest back', async () => {
    onChat = says('call', ' me', ' Ishmael');
    const [before, beforeOwner, beforePool] = await Promise.all(
      [miner, owner, UNSAFE_DEV_POOL].map(({ address }) => balance(address)),
    );
    const payment = allow();
    assert.equal((await ask({ prompt: 'who?', max_tokens: 10, payment })).body.text, 'call me Ishmael');
    await settled();
    const fee = 3n * FEE;
    const [latest] = await entries(owner.address);
    assert.ok(latest);
    assert.deepEqual([latest.kind, BigInt(latest.amount)], ['chat-settle', (fee * 6n) / 10n]);
    assert.equal(await balance(owner.address), (beforeOwner as bigint) + (fee * 6n) / 10n);
    const ours = (await entries(miner.address)).filter(({ ref }) => ref === latest.ref);
    assert.deepEqual(ours.map(({ kind }) => kind).sort(), ['chat-refund', 'chat-reserve', 'royalty']);
    const royalty = BigInt(ours.find(({ kind }) => kind === 'royalty')?.amount ?? 0);
    const all =
      (await balance(miner.address)) +
      (await balance(owner.address)) +
      (await balance(UNSAFE_DEV_POOL.address));
    assert.equal(
      all,
      (before as bigint) + (beforeOwner as bigint) + (beforePool as bigint),
      'nothing was made or lost',
    );
    assert.equal(await balance(miner.address), (before as bigint) - fee + royalty);

    const proof = paidChatSchema.parse((await pool.get(`/chats/${latest.ref}`)).body);
    const { allowance, signature } = parseAllowance(proof.signed);
    const id = allowanceDigest(network, allowance);
    assert.equal(recoverAddress(signature, id), miner.address);
    assert.equal(toHex(digest('chat', network, id, u64be(proof.number))), latest.ref);
    assert.equal(proof.reserved, `${10n * FEE}`);
  });

  it('bills tokens, in however many pieces they come, but none for which there is no text', async () => {
    const before = await balance(owner.address);
    const cost = async (pieces: readonly { text: string; tokens: number }[]) => {
      onChat = (self, { chat }) => {
        for (const piece of pieces) self.send({ type: 'chat-token', chat, ...piece });
        self.send({ type: 'chat-done', chat, tokens: 1, reason: 'stop' });
      };
      const { body } = await ask({ prompt: 'x', max_tokens: 40, payment: allow() });
      await settled();
      return Number(BigInt((body as { fee_units?: string }).fee_units ?? 0) / FEE);
    };
    assert.equal(await cost([{ text: 'call me Ishmael', tokens: 4 }]), 4);
    assert.equal(
      await cost([
        { text: 'call', tokens: 1 },
        { text: '', tokens: 2 },
        { text: ' me', tokens: 1 },
      ]),
      4,
    );
    assert.equal(await cost([{ text: 'lies', tokens: 39 }]), 4);
    assert.equal(await cost([{ text: 'ö', tokens: 2 }]), 2);
    assert.equal(await balance(owner.address), before + (14n * FEE * 6n) / 10n);
  });

  it('an allowance pays until it is used up, and an answer is cut to what it can afford', async () => {
    onChat = (self, task) => {
      const words = Array.from({ length: Math.min(5, task.request.max_tokens) }, () => 'a');
      says(...words)(self, task);
    };
    const payment = allow({ limit: 7n * FEE });
    assert.equal((await ask({ prompt: 'x', max_tokens: 100, payment })).body.text, 'aaaaa');
    assert.equal((await ask({ prompt: 'x', max_tokens: 100, payment })).body.text, 'aa');
    assert.equal((await ask({ prompt: 'x', payment })).body.error?.code, 'PAYMENT');
    await settled();
  });

  it('of two chats and a transfer on one balance only the affordable are made', async () => {
    const poor = newKeyPair();
    const expiry = BigInt(Math.floor(Date.now() / 1000) + 600);
    await send(api, miner, { to: poor.address, amount: 10n * FEE, expiry });
    onChat = (self, task) => says(...Array(Math.min(6, task.request.max_tokens)).fill('a'))(self, task);
    const question = { prompt: 'x', max_tokens: 6 };
    const [one, two, sent] = await Promise.all([
      ask({ ...question, payment: allow({}, poor) }),
      ask({ ...question, payment: allow({}, poor) }),
      send(api, poor, { to: miner.address, amount: 8n * FEE, expiry }).then(
        () => 'sent',
        (error: { code: string }) => error.code,
      ),
    ]);
    await settled();
    const paid = [one, two].map(({ body }) => BigInt((body.text ?? '').length) * FEE);
    const left = await balance(poor.address);
    assert.ok(left >= 0n);
    assert.equal(
      10n * FEE - paid.reduce((sum, fee) => sum + fee, 0n) - (sent === 'sent' ? 8n * FEE : 0n),
      left,
    );
    assert.ok(sent === 'sent' || sent === 'FUNDS');
    for (const { body } of [one, two]) assert.ok(body.text !== undefined || body.error?.code === 'FUNDS');
  });

  it('who goes away pays for what came, and a worker that fails is paid for what it gave', async () => {
    onChat = (self, { chat }) => self.send({ type: 'chat-token', chat, text: 'a' });
    const before = await balance(owner.address);
    const socket = new WebSocket(new URL('/ws/chat', pool.url.replace('http', 'ws')));
    const first = new Promise<ChatEvent>((resolve) =>
      socket.on('message', (data) => resolve(chatEventSchema.parse(JSON.parse(String(data))))),
    );
    socket.on('open', () => socket.send(JSON.stringify({ prompt: 'x', payment: allow() })));
    assert.equal((await first).type, 'token');
    socket.terminate();
    await settled();
    assert.equal(await balance(owner.address), before + (FEE * 6n) / 10n);
    onChat = (self, { chat }) => {
      self.send({ type: 'chat-token', chat, text: 'half' });
      self.send({ type: 'chat-failed', chat, error: { code: 'BACKEND', message: 'gone', details: {} } });
    };
    assert.equal((await ask({ prompt: 'x', payment: allow() })).body.error?.code, 'BACKEND');
    await settled();
    assert.equal(await balance(owner.address), before + (FEE * 12n) / 10n);
    onChat = (self, { chat }) =>
      self.send({ type: 'chat-failed', chat, error: { code: 'BACKEND', message: 'gone', details: {} } });
    await ask({ prompt: 'x', payment: allow() });
    await settled();
    assert.equal(await balance(owner.address), before + (FEE * 12n) / 10n, 'nothing came, nothing is paid');
  });

  it('clients of OpenAI’s API pay by their key, and the command line by a wallet', async () => {
    onChat = says('call', ' me');
    const key = Buffer.from(JSON.stringify(allow())).toString('base64url');
    const body = { messages: [{ role: 'user', content: 'who?' }], max_tokens: 5 };
    const answer = await ask(body, { authorization: `Bearer ${key}` }, '/v1/chat/completions');
    assert.equal(answer.status, 200);
    const unpaid = await ask(body, { authorization: 'Bearer sk-anything' }, '/v1/chat/completions');
    assert.equal(unpaid.body.error?.code, 'PAYMENT');
    const keyFile = join(home, 'key');
    await writeFile(keyFile, `${toHex(miner.secretKey)}\n`);
    const at = ['--coordinator', pool.url];
    const told = await aiblock(['chat', 'who?', ...at, '--key-file', keyFile, '--spend', '0.01']);
    assert.equal(told.stdout, 'call me\n', told.stderr);
    assert.match((await aiblock(['chat', 'who?', ...at])).stderr, /^error PAYMENT: /);
    await settled();
  });

  it('a reservation that is open when the process ends is given back at the next start, once', async () => {
    onChat = () => undefined;
    const before = await balance(miner.address);
    const lost = ask({ prompt: 'x', payment: allow() }).catch(() => undefined);
    await until('it is reserved', async () => (await balance(chatAccount(network))) > 0n);
    await pool.stop();
    await lost;
    await pool.start();
    await connect();
    assert.equal(await balance(chatAccount(network)), 0n);
    assert.equal(await balance(miner.address), before);
    await pool.restart();
    await connect();
    assert.equal(await balance(miner.address), before);
    const verified = await aiblock(['verify', '--coordinator', pool.url, '--no-payloads']);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  });
});
