import type { Express } from 'express';
import { parse } from '#coordinator/http/parse.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { type SharesQuery, sharesQuerySchema } from '#shared/api/reward-schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { parseAddress } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';

/** Who shares rewards, and why a reward was paid as it was. */
export function addRewards(app: Express, api: PoolApi): void {
  app.get('/pool/shares', async (request, response) => {
    response.json(await api.poolShares(sharesQuery(request.query)));
  });
  app.get('/pool/payouts/:submission', async (request, response) => {
    const id = fromHex(request.params.submission, 32, 'submission id');
    const view = await api.payout(id, sharesQuery(request.query));
    must(view, 'NOT_FOUND', 'no submission of this id is sealed');
    response.json(view);
  });
}

function sharesQuery(raw: unknown): SharesQuery {
  const query = parse(sharesQuerySchema, raw, 'query');
  return query.address === undefined ? query : { ...query, address: parseAddress(query.address) };
}
