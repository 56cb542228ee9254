import { type CborValue, encodeCbor } from '#shared/block/cbor.ts';
import type { JournalEntry } from '#shared/block/journal.ts';
import { utf8ToBytes } from '#shared/crypto/bytes.ts';
import { Slab } from '#shared/slab.ts';

/** Major types of RFC 8949, in the upper three bits of an item's first byte. */
const UINT = 0x00;
const BYTES = 0x40;
const TEXT = 0x60;
const NULL = 0xf6;
/** Below this a number stands in the item's first byte. */
const SHORT = 24;
const [ONE_MORE, TWO_MORE, FOUR_MORE, EIGHT_MORE] = [24, 25, 26, 27] as const;
/** More than any entry of plain texts takes. */
const ROOM = 512;
const LONGEST_TEXT = 64;

const textItem = (text: string) => Uint8Array.of(TEXT | text.length, ...utf8ToBytes(text));
/** The keys in the order that PROTOCOL §4 asks for, shorter ones first, behind the head of a map of nine. */
const KEYS = {
  v: Uint8Array.of(0xa9, ...textItem('v')),
  at: textItem('at'),
  to: textItem('to'),
  ref: textItem('ref'),
  seq: textItem('seq'),
  from: textItem('from'),
  kind: textItem('kind'),
  prev: textItem('prev'),
  amount: textItem('amount'),
} as const satisfies Record<keyof JournalEntry, Uint8Array>;

/**
 * The same bytes as `encodeCbor(entry)`, some ten times as fast (measured): a payout writes tens of thousands. An entry
 * that no ledger writes, such as one with a text that is not ASCII, goes the long way.
 */
export function encodeEntryFast(entry: JournalEntry): Uint8Array {
  if (!isPlain(entry)) return encodeCbor(entry as unknown as CborValue);
  const out = WRITER.begin();
  out.key('v').number(UINT, entry.v);
  out.key('at').number(UINT, entry.at);
  out.key('to').text(entry.to);
  out.key('ref').bytes(entry.ref);
  out.key('seq').number(UINT, entry.seq);
  out.key('from').text(entry.from);
  out.key('kind').text(entry.kind);
  out.key('prev').bytes(entry.prev);
  out.key('amount').bigint(entry.amount);
  return out.taken();
}

function isPlain({ seq, at, prev, ref, from, to, kind, amount }: JournalEntry): boolean {
  return (
    [seq, at].every((number) => Number.isSafeInteger(number) && number >= 0) &&
    [from, to, kind].every((text) => text === null || isShortAscii(text)) &&
    prev.length === 32 &&
    ref.length === 32 &&
    amount >= 0n &&
    amount < 2n ** 64n
  );
}

function isShortAscii(text: string): boolean {
  if (text.length > LONGEST_TEXT) return false;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

class Writer {
  readonly #bytes = new Uint8Array(ROOM);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #slab = new Slab();
  #at = 0;

  begin(): this {
    this.#at = 0;
    return this;
  }

  taken(): Uint8Array {
    return this.#slab.copy(this.#bytes.subarray(0, this.#at));
  }

  key(name: keyof typeof KEYS): this {
    this.#bytes.set(KEYS[name], this.#at);
    this.#at += KEYS[name].length;
    return this;
  }

  /** The shortest head of this type. */
  number(type: number, value: number): void {
    if (value < SHORT) this.#bytes[this.#at++] = type | value;
    else if (value <= 0xff) this.#more(type | ONE_MORE, 1, () => this.#view.setUint8(this.#at, value));
    else if (value <= 0xffff) this.#more(type | TWO_MORE, 2, () => this.#view.setUint16(this.#at, value));
    else if (value <= 0xffff_ffff)
      this.#more(type | FOUR_MORE, 4, () => this.#view.setUint32(this.#at, value));
    else this.#more(type | EIGHT_MORE, 8, () => this.#view.setBigUint64(this.#at, BigInt(value)));
  }

  bigint(value: bigint): void {
    if (value <= 0xffff_ffffn) this.number(UINT, Number(value));
    else this.#more(UINT | EIGHT_MORE, 8, () => this.#view.setBigUint64(this.#at, value));
  }

  bytes(value: Uint8Array): void {
    this.number(BYTES, value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  text(value: string | null): void {
    if (value === null) {
      this.#bytes[this.#at++] = NULL;
      return;
    }
    this.number(TEXT, value.length);
    for (let i = 0; i < value.length; i++) this.#bytes[this.#at++] = value.charCodeAt(i);
  }

  #more(head: number, length: number, write: () => void): void {
    this.#bytes[this.#at++] = head;
    write();
    this.#at += length;
  }
}

/** One for all: its bytes are copied out before the next entry. */
const WRITER = new Writer();
