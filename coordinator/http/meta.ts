import type { Express, Request } from 'express';
import { GuardedBody } from '#coordinator/http/guarded-body.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { decodeProposal } from '#shared/block/meta-proposal.ts';
import { collectBytes } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

/** Tokenizer, validation shards and texts; such a body is held in memory, so one at a time. */
const LIMITS = {
  maxUploadBytes: 64 * 1024 * 1024,
  minBytesPerSecond: 16 * 1024,
  graceMs: 10_000,
  maxIdleMs: 10_000,
};

/** The Meta block that rules (`GET /meta`), any other (`GET /meta/:index`), and the next one (`POST /meta`). */
export function addMeta(app: Express, { meta, govern }: Pick<PoolApi, 'meta' | 'govern'>): void {
  app.get('/meta', async (_request, response) => void response.json(await meta(undefined)));
  app.get('/meta/:index', async (request, response) => {
    must(/^[0-9]{1,15}$/.test(request.params.index), 'BAD_REQUEST', 'expected a height as a whole number');
    const view = await meta(Number(request.params.index));
    must(view, 'NOT_FOUND', `chain A has no block ${request.params.index}`);
    response.json(view);
  });
  if (!govern) return;
  let busy = false;
  app.post('/meta', async (request, response) => {
    must(!busy, 'TOO_MANY_REQUESTS', 'another Meta block is on its way in');
    busy = true;
    try {
      const { view, isNew } = await govern(decodeProposal(await bodyOf(request)));
      response
        .status(isNew ? 201 : 200)
        .location(`/meta/${view.index}`)
        .json(view);
    } finally {
      busy = false;
    }
  });
}

async function bodyOf(request: Request): Promise<Uint8Array> {
  must(
    request.is('application/cbor') && (request.get('content-encoding') ?? 'identity') === 'identity',
    'UNSUPPORTED_MEDIA_TYPE',
    `expected content type application/cbor, got ${request.get('content-type')?.slice(0, 100) ?? 'none'}`,
  );
  const body = new GuardedBody(request, LIMITS);
  try {
    return await collectBytes(body.pieces());
  } finally {
    body.stop();
    request.resume();
  }
}
