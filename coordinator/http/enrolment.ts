import type { Express } from 'express';
import { parse } from '#coordinator/http/parse.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { enrolmentQuerySchema } from '#shared/api/worker-schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';

/**
 * `GET /enrolment`: whether a worker key may attach, and whether the token in the `Authorization` header would enrol
 * one. It changes nothing, so that a machine can be examined before it begins to work.
 */
export function addEnrolment(app: Express, { enrolment }: Pick<PoolApi, 'enrolment'>): void {
  if (!enrolment) return;
  app.get('/enrolment', (request, response) => {
    const { key } = parse(enrolmentQuerySchema, request.query, 'query');
    const token = /^Bearer (\S+)$/.exec(request.get('authorization') ?? '')?.[1];
    const view = enrolment(key === undefined ? undefined : fromHex(key, 33), token);
    response.set('cache-control', 'no-store').json(view);
  });
}
