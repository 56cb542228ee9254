import express, { type Express, type RequestHandler } from 'express';
import { parse } from '#coordinator/http/parse.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { type EntryView, entriesQuerySchema } from '#shared/api/account-schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { parseAddress } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { transferRequestSchema } from '#shared/protocol/transfer.ts';

/** A transfer is half a kilobyte of JSON. */
const MAX_TRANSFER_BYTES = 4_096;
const CSV_COLUMNS = ['seq', 'at', 'kind', 'ref', 'from', 'to', 'amount'] as const;

/** Accounts and their entries, and the transfers between them. */
export function addAccounts(app: Express, api: PoolApi, requireJson: RequestHandler): void {
  app.get('/balance/:address', async (request, response) => {
    const { address, balance } = await api.account(parseAddress(request.params.address));
    response.json({ address, balance });
  });
  app.get('/accounts/:address', async (request, response) => {
    response.json(await api.account(parseAddress(request.params.address)));
  });
  app.get('/accounts/:address/entries', async (request, response) => {
    const address = parseAddress(request.params.address);
    const { before, limit, format } = parse(entriesQuerySchema, request.query, 'query');
    const entries = await api.accountEntries(address, { before, limit });
    // The last page has no next one: an account's entries of lower numbers never change.
    const next = entries.length === limit ? (entries.at(-1) as EntryView).seq : null;
    if (next !== null) response.links({ next: `?before=${next}&limit=${limit}&format=${format}` });
    if (format === 'json') return void response.json({ address, entries, next });
    response.type('text/csv').attachment(`${address}.csv`).send(csv(entries));
  });
  app.get('/chats/:ref', async (request, response) => {
    const view = await api.paidChat(fromHex(request.params.ref, 32, 'ref'));
    must(view, 'NOT_FOUND', 'no chat with this ref was paid for');
    response.json(view);
  });
  app.get('/transfer/:digest', async (request, response) => {
    const proof = await api.transferProof(fromHex(request.params.digest, 32, 'digest'));
    must(proof, 'NOT_FOUND', 'there is no transfer of this digest');
    response.json(proof);
  });
  const { transfer } = api;
  if (transfer)
    app.post(
      '/transfer',
      requireJson,
      express.json({ limit: MAX_TRANSFER_BYTES }),
      async (request, response) => {
        const { view, isNew } = await transfer(parse(transferRequestSchema, request.body, 'body'));
        response.status(isNew ? 201 : 200).json(view);
      },
    );
}

/** Only numbers, hex, fixed words and addresses: nothing that needs quoting, nor that a spreadsheet would run. */
function csv(entries: readonly EntryView[]): string {
  const rows = entries.map((entry) => CSV_COLUMNS.map((column) => entry[column] ?? '').join(','));
  return `${[CSV_COLUMNS.join(','), ...rows].join('\r\n')}\r\n`;
}
