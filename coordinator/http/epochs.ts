import type { Express } from 'express';
import { parse } from '#coordinator/http/parse.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { blocksQuerySchema } from '#shared/api/schemas.ts';
import { must } from '#shared/errors/pool-error.ts';

/** Evidence of hundreds of windows is for those who ask for one epoch: the list has none. */
const MAX_EPOCHS = 100;

/** Which sealed submissions were held against which held-out shards, and what came of it. */
export function addEpochs(app: Express, { epochs, epoch }: Pick<PoolApi, 'epochs' | 'epoch'>): void {
  app.get('/epochs', async (request, response) => {
    const { from, limit } = parse(blocksQuerySchema, request.query, 'query');
    response.json({ epochs: await epochs({ from, limit: Math.min(limit, MAX_EPOCHS) }) });
  });
  app.get('/epochs/:number', async (request, response) => {
    const { number } = request.params;
    must(/^[0-9]{1,15}$/.test(number), 'BAD_REQUEST', 'expected the number of an epoch');
    const view = await epoch(Number(number));
    must(view, 'NOT_FOUND', `there is no epoch ${number}`);
    response.json(view);
  });
}
