import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { type CborValue, decodeCborAs, encodeCbor, zUint } from '#shared/block/cbor.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

/** Cannot be guessed, so its plain hash gives nothing away. */
const TOKEN_BYTES = 24;
/** Of the hash: enough to name one of many tokens, and no use to who would enrol with it. */
const ID_DIGITS = 12;

const storedSchema = z.strictObject({
  v: z.literal(1),
  name: z.string(),
  owner: z.string().nullable(),
  created: zUint,
  expires: zUint,
  uses: zUint,
  used: zUint,
  revoked: z.boolean(),
});

/** What a one-time token allows. The token itself is shown once and kept nowhere. */
export interface TokenTerms {
  /** Whom or what it was made for. */
  readonly name: string;
  /** Address that the workers it enrols work for; null leaves it to them to prove one. */
  readonly owner: string | null;
  /** Unix milliseconds. */
  readonly expires: number;
  /** Workers that it enrols. */
  readonly uses: number;
}

export interface WorkerToken extends TokenTerms {
  readonly id: string;
  readonly created: number;
  readonly used: number;
  readonly revoked: boolean;
}

/** A token that one more worker enrols with: in force when `op` is written and `done` was called. */
export interface Redemption {
  readonly token: WorkerToken;
  readonly op: KvOp;
  done(): void;
}

export type TokenState = 'open' | 'used' | 'expired' | 'revoked';

const WHY: Readonly<Record<TokenState, string>> = {
  open: 'enrols',
  used: 'was used already',
  expired: 'has expired',
  revoked: 'was revoked',
};

/** Only an open token enrols. */
function tokenState({ revoked, expires, used, uses }: WorkerToken, now: number): TokenState {
  if (revoked) return 'revoked';
  if (used >= uses) return 'used';
  return expires <= now ? 'expired' : 'open';
}

/** One-time tokens for the workers of strangers, by the hash of each: in memory, and in the store. */
export class WorkerTokens {
  readonly #kv: KV;
  readonly #now: () => number;
  /** By hash, hex. */
  readonly #tokens = new Map<string, WorkerToken>();

  private constructor(kv: KV, now: () => number) {
    this.#kv = kv;
    this.#now = now;
  }

  static async open(kv: KV, now: () => number): Promise<WorkerTokens> {
    const tokens = new WorkerTokens(kv, now);
    for await (const [key, value] of kv.entries(bucketRange(BUCKET.workerToken))) {
      const hash = toHex(key.subarray(1));
      const { v, ...stored } = decodeCborAs(storedSchema, value, 'Worker token');
      tokens.#tokens.set(hash, { id: hash.slice(0, ID_DIGITS), ...stored });
    }
    return tokens;
  }

  /** Oldest first. */
  list(): (WorkerToken & { readonly state: TokenState })[] {
    const now = this.#now();
    return [...this.#tokens.values()]
      .sort((a, b) => a.created - b.created)
      .map((token) => ({ ...token, state: tokenState(token, now) }));
  }

  /** Durable when it resolves. OPTION where it would never enrol anybody. */
  async create(terms: TokenTerms): Promise<{ secret: string; token: WorkerToken }> {
    const created = this.#now();
    must(terms.expires > created, 'OPTION', 'expires: expected a time to come, got one that has passed');
    const secret = randomBytes(TOKEN_BYTES).toString('hex');
    const hash = hashOf(secret);
    const token = { id: hash.slice(0, ID_DIGITS), ...terms, created, used: 0, revoked: false };
    await this.#write(hash, token);
    return { secret, token };
  }

  /** It enrols nobody any more; who is enrolled stays so. NOT_FOUND. */
  async revoke(id: string): Promise<WorkerToken> {
    const [hash, token] = [...this.#tokens].find(([, known]) => known.id === id) ?? [];
    must(hash && token, 'NOT_FOUND', () => `there is no token ${JSON.stringify(id.slice(0, 80))}`);
    const revoked = { ...token, revoked: true };
    await this.#write(hash, revoked);
    return revoked;
  }

  /** Whether a token would enrol a worker now. */
  stateOf(secret: string): TokenState | 'unknown' {
    const token = this.#tokens.get(hashOf(secret));
    return token ? tokenState(token, this.#now()) : 'unknown';
  }

  /** One use of a token; the caller lets nobody else redeem meanwhile. UNAUTHORISED where it has none. */
  redeem(secret: string): Redemption {
    const hash = hashOf(secret);
    const token = this.#tokens.get(hash);
    must(token, 'UNAUTHORISED', 'this worker key is not enrolled, and its token is none of this pool');
    const state = tokenState(token, this.#now());
    const why = `the token ${token.id} ${WHY[state]}: ask the operator for another`;
    must(state === 'open', 'UNAUTHORISED', why);
    const after = { ...token, used: token.used + 1 };
    return {
      token,
      op: put(keyOf(hash), encodeToken(after)),
      done: () => this.#tokens.set(hash, after),
    };
  }

  async #write(hash: string, token: WorkerToken): Promise<void> {
    await this.#kv.batch([put(keyOf(hash), encodeToken(token))], { durable: true });
    this.#tokens.set(hash, token);
  }
}

const keyOf = (hash: string) => bucketKey(BUCKET.workerToken, Buffer.from(hash, 'hex'));

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

function encodeToken({ id, ...token }: WorkerToken): Uint8Array {
  const stored = { v: 1, ...token } satisfies z.infer<typeof storedSchema>;
  return encodeCbor(stored as CborValue);
}
