import type { JournalEntry } from '#shared/block/journal.ts';
import { equalBytes, toHex, u64be } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import { must } from '#shared/errors/pool-error.ts';
import { allowanceDigest, parseAllowance } from '#shared/protocol/allowance.ts';
import { BURN_ADDRESS, parseTransfer, transferDigest, transferMove } from '#shared/protocol/transfer.ts';
import { at, atAsync } from '#worker/audit/finding.ts';
import { eachOf } from '#worker/audit/some.ts';
import type { AuditSource } from '#worker/audit/source.ts';

/* What owners signed for the moves of their money: the pool alone can move none of it. PROTOCOL §13, §16. */

const AT_ONCE = 8;

interface SignedMoves {
  readonly networkId: Uint8Array;
  /** In the order of the journal. */
  readonly entries: readonly JournalEntry[];
  done(entries: number): void;
}

/**
 * Holds entries of the kinds `transfer` and `burn` against what their senders signed: exactly this move, in time, and every nonce of
 * an account once and in order. JOURNAL, SIGNATURE; NOT_FOUND where the pool has nothing to show.
 */
export async function checkTransfers(source: AuditSource, moves: SignedMoves): Promise<void> {
  const { networkId, entries } = moves;
  const shown = await shownFor(moves, entries, (entry) => source.transfer(toHex(entry.ref)));
  const numbers = new Counter();
  entries.forEach((entry, i) => {
    at(placeOf(entry), () => {
      const { from, to, amount } = entry;
      const move = { from: String(from), to: to ?? BURN_ADDRESS, amount: `${amount}` };
      const { transfer, signature } = parseTransfer({ ...move, ...(shown[i] as (typeof shown)[number]) });
      const signed = transferDigest(networkId, transfer);
      must(
        equalBytes(signed, entry.ref) && transferMove(signed, transfer).kind === entry.kind,
        'JOURNAL',
        'it is not the move that was signed',
      );
      mustBeSigned(entry, { by: transfer.from, signature, signed, expiry: transfer.expiry });
      numbers.mustBeNext(transfer.from, transfer.nonce);
    });
  });
}

/**
 * Holds what was reserved for chats against the allowances that pay for them: signed by the account, in time, each
 * chat of an allowance once and in order, and never more spent than its limit. `entries` are those of the kinds
 * `chat-reserve` and `chat-refund`. JOURNAL, SIGNATURE; NOT_FOUND where the pool has nothing to show.
 */
export async function checkPaidChats(source: AuditSource, moves: SignedMoves): Promise<void> {
  const { networkId, entries } = moves;
  const reserves = entries.filter(({ kind }) => kind === 'chat-reserve');
  const shown = await shownFor(moves, reserves, (entry) => source.paidChat(toHex(entry.ref)));
  const chats = new Map(reserves.map((entry, i) => [entry, shown[i]]));
  const numbers = new Counter();
  const spent = new Map<string, bigint>();
  /** `ref` of a chat → its allowance. */
  const paidBy = new Map<string, string>();
  for (const entry of entries)
    at(placeOf(entry), () => {
      const ref = toHex(entry.ref);
      const chat = chats.get(entry);
      if (!chat) {
        spend(spent, paidBy.get(ref), -entry.amount);
        return;
      }
      const { allowance, signature } = parseAllowance(chat.signed);
      const signed = allowanceDigest(networkId, allowance);
      const id = toHex(signed);
      const ofAllowance = digest('chat', networkId, signed, u64be(chat.number));
      must(
        equalBytes(ofAllowance, entry.ref) && entry.from === allowance.account,
        'JOURNAL',
        'it is not a chat of the allowance that is shown for it',
      );
      mustBeSigned(entry, { by: allowance.account, signature, signed, expiry: allowance.expiry });
      numbers.mustBeNext(id, BigInt(chat.number));
      paidBy.set(ref, id);
      const after = spend(spent, id, entry.amount);
      must(
        after <= allowance.limit,
        'JOURNAL',
        `the allowance is of ${allowance.limit}, with this ${after} are spent`,
      );
    });
}

/** What the pool shows for each of these entries. */
async function shownFor<T>(
  { done }: SignedMoves,
  entries: readonly JournalEntry[],
  show: (entry: JournalEntry) => Promise<T>,
): Promise<T[]> {
  const shown: T[] = [];
  let count = 0;
  await eachOf([...entries.entries()], AT_ONCE, async ([i, entry]) => {
    shown[i] = await atAsync(placeOf(entry), () => show(entry));
    done(++count);
  });
  return shown;
}

function mustBeSigned(
  entry: JournalEntry,
  act: { by: string; signature: Uint8Array; signed: Uint8Array; expiry: bigint },
): void {
  const signer = recoverAddress(act.signature, act.signed);
  must(signer === act.by, 'SIGNATURE', `expected a signature by ${act.by}, got one by ${signer ?? 'nobody'}`);
  const seconds = BigInt(Math.floor(entry.at / 1000));
  must(seconds <= act.expiry, 'JOURNAL', `what was signed had expired at ${act.expiry}`);
}

function spend(spent: Map<string, bigint>, id: string | undefined, amount: bigint): bigint {
  must(id !== undefined, 'JOURNAL', 'nothing was reserved for this chat');
  const after = (spent.get(id) ?? 0n) + amount;
  spent.set(id, after);
  return after;
}

/** Numbers that each account or allowance uses once, from 0 on. */
class Counter {
  readonly #next = new Map<string, bigint>();

  /** JOURNAL where it is another. */
  mustBeNext(id: string, number: bigint): void {
    const next = this.#next.get(id) ?? 0n;
    must(number === next, 'JOURNAL', () => `expected number ${next} of ${id}, got ${number}`);
    this.#next.set(id, next + 1n);
  }
}

const placeOf = ({ seq }: JournalEntry): string => `journal entry ${seq}`;
