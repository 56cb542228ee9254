import express, { type Express, type RequestHandler } from 'express';
import { parse } from '#coordinator/http/parse.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { adjustmentRequestSchema } from '#shared/protocol/adjustment.ts';

const MAX_ADJUSTMENT_BYTES = 4_096;

/** What the operator gives from the pool's account, and why. */
export function addAdjustments(
  app: Express,
  { adjust, adjustment }: Pick<PoolApi, 'adjust' | 'adjustment'>,
  requireJson: RequestHandler,
): void {
  app.get('/adjustments/:digest', async (request, response) => {
    const view = await adjustment(fromHex(request.params.digest, 32, 'digest'));
    must(view, 'NOT_FOUND', 'there is no adjustment of this digest');
    response.json(view);
  });
  if (!adjust) return;
  app.post(
    '/adjustments',
    requireJson,
    express.json({ limit: MAX_ADJUSTMENT_BYTES }),
    async (request, response) => {
      const { view, isNew } = await adjust(parse(adjustmentRequestSchema, request.body, 'body'));
      response.status(isNew ? 201 : 200).json(view);
    },
  );
}
