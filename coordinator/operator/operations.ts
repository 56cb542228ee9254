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
  /** For whom or what that token was made. */
  readonly token_name: string | null;
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
      const names = tokenNames(parts);
      return parts.enrolment.all().map(([key]) => lineOf(parts, key, names));
    },
    'set-standing': async (input) => {
      const wanted = read(standing, input);
      const publicKey = find(parts, wanted.worker);
      await workers.setStanding(fromHex(publicKey, 33), wanted.standing);
      return lineOf(parts, publicKey);
    },
  };
}

function lineOf(parts: OperationParts, publicKey: string, names = tokenNames(parts)): WorkerLine {
  const { enrolment, workers } = parts;
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
    token_name: names.get(token) ?? null,
    enrolled_at: at,
    last_seen_at: session?.lastSeenMs ?? seen,
    connected: session !== undefined,
    holds: session ? session.holds.evaluate + session.holds.mine + session.chats : 0,
  };
}

/** By id. */
function tokenNames({ tokens }: OperationParts): ReadonlyMap<string | null, string> {
  return new Map(tokens.list().map(({ id, name }) => [id, name]));
}

/**
 * Public key (hex) of the one worker of this address or name, or that a token of this name enrolled: a worker may
 * call itself otherwise than the operator does. NOT_FOUND, or BAD_REQUEST where there are several.
 */
function find(parts: OperationParts, wanted: string): string {
  const all = parts.enrolment.all().map(([key, worker]) => ({ key, ...worker }));
  const isOfAddress = ({ key }: { key: string }) =>
    addressOf(fromHex(key, 33)).toLowerCase() === wanted.toLowerCase();
  const names = tokenNames(parts);
  const matches = [
    all.filter(isOfAddress),
    all.filter(({ name }) => name === wanted),
    all.filter(({ token }) => names.get(token) === wanted),
  ];
  const found = matches.find(({ length }) => length > 0) ?? [];
  const [first] = found;
  const quoted = JSON.stringify(wanted);
  must(
    first,
    'NOT_FOUND',
    () => `no worker of the address or name ${quoted}, or of a token of it, is enrolled`,
  );
  must(
    found.length === 1,
    'BAD_REQUEST',
    () => `expected one worker of the name ${quoted}, got ${found.length}: name its address`,
  );
  return first.key;
}

function read<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new PoolError('BAD_REQUEST', firstIssue(parsed.error));
}
