import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { enrolmentSchema } from '#shared/api/worker-schemas.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { httpUrl } from '#worker/client/urls.ts';
import { type Finding, findings } from '#worker/doctor/finding.ts';

const TIMEOUT_MS = 10_000;
const ANOTHER = 'ask the operator for another: he makes it with `aiblock worker-token create`';

/** Whether the pool would let this machine in, with the key it has or the token it was given. Nothing is used up. */
export async function checkEnrolment(
  coordinator: string,
  { dataDir, token, signal }: { dataDir: string; token: string | undefined; signal: AbortSignal },
): Promise<Finding> {
  const { fine, note, fault } = findings('token');
  const publicKey = await publicKeyIn(dataDir);
  const known = await ask(coordinator, { publicKey, token, signal }).catch(() => undefined);
  signal.throwIfAborted();
  if (!known) return note('the pool does not tell whether it lets this worker in');
  if (known.key === 'revoked')
    return fault(
      'the operator revoked the key of this worker',
      'ask him, or begin anew with another --data-dir and a token',
    );
  if (known.key === 'paused' || known.key === 'draining')
    return note(
      `the key is enrolled, and the operator set it to ${known.key}: it gets no work until he resumes it`,
    );
  if (known.key === 'active') return fine('the key of this worker is enrolled: no token is needed');
  if (known.token === 'pool' || known.token === 'open') return fine('the token enrols this worker');
  if (known.token === null)
    return fault(
      'the pool does not know this worker, and there is no token',
      `give it by --token; ${ANOTHER}`,
    );
  return fault(`the token is ${known.token === 'unknown' ? 'none of this pool' : known.token}`, ANOTHER);
}

/** Hex; undefined where there is no key yet, or a damaged one: that is another check's matter. */
async function publicKeyIn(dataDir: string): Promise<string | undefined> {
  try {
    const text = await readFile(join(dataDir, 'worker', 'key'), 'utf8');
    return toHex(keyPair(fromHex(text.trim(), 32)).publicKey);
  } catch {
    return undefined;
  }
}

async function ask(
  coordinator: string,
  {
    publicKey,
    token,
    signal,
  }: { publicKey: string | undefined; token: string | undefined; signal: AbortSignal },
) {
  const url = httpUrl(coordinator, 'enrolment');
  if (publicKey !== undefined) url.searchParams.set('key', publicKey);
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const response = await fetch(url, { headers, signal: limit, redirect: 'error' });
  return enrolmentSchema.parse(await response.json());
}
