import express, { type Express, type RequestHandler } from 'express';
import { parse } from '#coordinator/http/parse.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { claimRequestSchema } from '#shared/api/schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';

/** A claim is a hash. */
const MAX_CLAIM_BYTES = 1_024;

/** `POST /claims`: weights that are to come, before anybody sees them. New and durable is 201, known is 200. */
export function addClaims(
  app: Express,
  { claim }: Pick<PoolApi, 'claim'>,
  requireJson: RequestHandler,
): void {
  if (!claim) return;
  app.post('/claims', requireJson, express.json({ limit: MAX_CLAIM_BYTES }), async (request, response) => {
    const body = parse(claimRequestSchema, request.body, 'body');
    const { view, isNew } = await claim(fromHex(body.claim, 32));
    response.status(isNew ? 201 : 200).json(view);
  });
}
