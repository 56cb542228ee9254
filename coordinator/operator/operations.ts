import { z } from 'zod';
import type { Enrolment } from '#coordinator/dispatch/enrolment.ts';
import type { WorkerTokens } from '#coordinator/dispatch/worker-tokens.ts';
import type { Workers } from '#coordinator/dispatch/workers.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { addressOf, parseAddress } from '#shared/crypto/keys.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { firstIssue } from '#shared/errors/schema-issue.ts';
import { shown } from '#shared/protocol/capabilities.ts';
import { STANDINGS } from '#shared/protocol/standing.ts';

/** What an operator can ask for, by name: each checks its input, and answers with what JSON can carry. */
export type Operations = Readonly<Record<string, (input: unknown) => Promise<unknown>>>;

export interface OperationParts {
  readonly workers: Pick<Workers, 'setStanding' | 'session'>;
  readonly enrolment: Pick<Enrolment, 'all'>;
  readonly tokens: Pick<WorkerTokens, 'create' | 'list' | 'revoke'>;
}

const MAX_USES = 10_000;
const nothing = z.strictObject({});
const terms = z.strictObject({
  name: shown(60).min(1),
  owner: z.string().nullable(),
  /** Unix milliseconds. */
  expires: z.int().positive(),
  uses: z.int().min(1).max(MAX_USES),
});
const tokenName = z.strictObject({ id: z.string().max(100) });
const standing = z.strictObject({ worker: z.string().max(100), standing: z.enum(STANDINGS) });

/** A worker as its operator sees it; times are Unix milliseconds. */
export interface WorkerLine {
  readonly address: string;
  readonly name: string;
  readonly owner: string;
  readonly standing: string;
  /** Id of the token that enrolled it; null for the pool's own. */
  readonly token: string | null;
  readonly enrolled_at: number;
  readonly last_seen_at: number;
  readonly connected: boolean;
  /** Leases it holds. */
  readonly holds: number;
}

/** What an operator can do about workers, and about the tokens with which they enrol. */
export function workerOperations(parts: OperationParts): Operations {
  const { tokens, workers } = parts;
  return {
    'create-token': async (input) => {
      const { owner, ...rest } = read(terms, input);
      return tokens.create({ ...rest, owner: owner === null ? null : parseAddress(owner) });
    },
    'list-tokens': async (input) => {
      read(nothing, input);
      return tokens.list();
    },
    'revoke-token': async (input) => tokens.revoke(read(tokenName, input).id),
    'list-workers': async (input) => {
      read(nothing, input);
      return parts.enrolment.all().map(([key]) => lineOf(parts, key));
    },
    'set-standing': async (input) => {
      const wanted = read(standing, input);
      const publicKey = find(parts, wanted.worker);
      await workers.setStanding(fromHex(publicKey, 33), wanted.standing);
      return lineOf(parts, publicKey);
    },
  };
}

function lineOf({ enrolment, workers }: OperationParts, publicKey: string): WorkerLine {
  const worker = enrolment.all().find(([key]) => key === publicKey)?.[1];
  must(worker, 'NOT_FOUND', 'there is no worker of this key');
  const address = addressOf(fromHex(publicKey, 33));
  const session = workers.session(fromHex(publicKey, 33));
  const { name, owner, standing: now, token, at, seen } = worker;
  return {
    address,
    name,
    owner: owner ?? address,
    standing: now,
    token,
    enrolled_at: at,
    last_seen_at: session?.lastSeenMs ?? seen,
    connected: session !== undefined,
    holds: session ? session.holds.evaluate + session.holds.mine + session.chats : 0,
  };
}

/** Public key (hex) of the one worker of this address or name. NOT_FOUND, or BAD_REQUEST where there are several. */
function find({ enrolment }: OperationParts, worker: string): string {
  const all = enrolment.all().map(([key, { name }]) => ({ key, name, address: addressOf(fromHex(key, 33)) }));
  const byAddress = all.find(({ address }) => address.toLowerCase() === worker.toLowerCase());
  const found = byAddress ? [byAddress] : all.filter(({ name }) => name === worker);
  const [first] = found;
  must(first, 'NOT_FOUND', () => `no worker of the address or name ${JSON.stringify(worker)} is enrolled`);
  must(
    found.length === 1,
    'BAD_REQUEST',
    () => `expected one worker of the name ${JSON.stringify(worker)}, got ${found.length}: name its address`,
  );
  return first.key;
}

function read<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new PoolError('BAD_REQUEST', firstIssue(parsed.error));
}
