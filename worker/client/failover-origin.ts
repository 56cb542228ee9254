import { PoolError } from '#shared/errors/pool-error.ts';
import type { PayloadRequest } from '#worker/client/api-client.ts';
import type { PayloadOrigin } from '#worker/client/payload-cache.ts';

/** Refusals that another coordinator may not make: it is there, or it has what this one lacks. */
const ELSEWHERE: readonly string[] = [
  'UNAVAILABLE',
  'NOT_FOUND',
  'UNAUTHORISED',
  'TOO_MANY_REQUESTS',
  'TIMEOUT',
];

/** Several coordinators of one pool as one origin of payloads: the last that answered is asked first. */
export class FailoverOrigin implements PayloadOrigin {
  readonly #origins: readonly PayloadOrigin[];
  #first = 0;

  constructor(origins: readonly PayloadOrigin[]) {
    this.#origins = origins;
  }

  /** Rejects with the refusal of the last that was asked. */
  async payload(hash: string, request: PayloadRequest): Promise<AsyncIterable<Uint8Array>> {
    let refusal: unknown = new PoolError('UNAVAILABLE', 'there is no coordinator to ask for payloads');
    const first = this.#first;
    for (let i = 0; i < this.#origins.length; i++) {
      const index = (first + i) % this.#origins.length;
      try {
        const bytes = await this.#origins[index]?.payload(hash, request);
        if (!bytes) continue;
        this.#first = index;
        return bytes;
      } catch (error) {
        if (!(error instanceof PoolError && ELSEWHERE.includes(error.code))) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }
}
