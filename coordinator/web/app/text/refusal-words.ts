import { Refusal } from '../net/ports.ts';

/** What a wallet answers where its owner says no. EIP-1193. */
const DECLINED = 4001;
const BUSY = -32002;

/** Refusals that a payer can do something about. */
const WORDS: Readonly<Record<string, string>> = {
  ADDRESS:
    'This is not an address: it begins with 0x, and 40 digits follow. Its upper and lower case must be as given.',
  AMOUNT: 'The amount is not one that can be paid: plain digits, at most eight behind the point, above zero.',
  PAYMENT: 'An answer costs something here, and nothing pays it: allow it with your wallet.',
  FUNDS: 'The account has not got that much.',
  TRANSFER_FORM: 'A transfer goes from one account to another.',
  TRANSFER_NONCE: 'Another payment of this account came in between. Try again.',
  TRANSFER_EXPIRED: 'The wallet took too long: the signature is no longer valid. Try again.',
  SIGNATURE: 'The wallet signed with another account, or in a form that the pool does not take.',
  UNAVAILABLE: 'The pool does not answer. Look at the list of payments before you pay again.',
  TOO_MANY_REQUESTS: 'Too many requests: wait a moment, then try again.',
};

/** An error of pool or wallet in words. */
export function refusalWords(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  if (code === DECLINED) return 'You declined in the wallet. Nothing was paid.';
  if (code === BUSY) return 'The wallet waits for you already: look at its window.';
  // Errors of the pool's own checks have the same codes as its refusals.
  if (typeof code === 'string' && WORDS[code] !== undefined) return WORDS[code];
  if (error instanceof Refusal) return `The pool refused: ${error.message}`;
  const { name, message } = (error ?? {}) as { name?: unknown; message?: unknown };
  if (name === 'TimeoutError' || name === 'TypeError') return WORDS.UNAVAILABLE as string;
  return typeof message === 'string' && message !== ''
    ? `The wallet refused: ${message.slice(0, 200)}`
    : 'The wallet refused, without a reason.';
}
