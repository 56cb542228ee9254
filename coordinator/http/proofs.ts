import type { Express } from 'express';
import { parse } from '#coordinator/http/parse.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { entryProofQuerySchema } from '#shared/api/proof-schemas.ts';
import { must } from '#shared/errors/pool-error.ts';

/** What anybody can check against the hash of one block, without the pool. */
export function addProofs(app: Express, api: PoolApi): void {
  app.get('/proof/entry/:seq', async (request, response) => {
    const { seq } = request.params;
    must(/^[0-9]{1,15}$/.test(seq), 'BAD_REQUEST', 'expected the number of an entry');
    const { height } = parse(entryProofQuerySchema, request.query, 'query');
    response.json(await api.entryProof(Number(seq), height));
  });
  app.get('/proof/tensor/:name', async (request, response) => {
    response.json(await api.tensorProof(request.params.name));
  });
}
