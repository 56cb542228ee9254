import { must, PoolError } from '#shared/errors/pool-error.ts';

/** The subset of JSON that a safetensors header needs. Objects become Maps: no key is special. */
export type StrictValue = string | number | StrictValue[] | Map<string, StrictValue>;

const MAX_DEPTH = 4;
/** More tensors than any model in use has, and their metadata; a list in a header is far shorter. */
const MAX_MEMBERS = 20_001;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Such a string has no UTF-8 form: readers would disagree about the name. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Reads one JSON value of objects, arrays, strings and plain non-negative integers. `JSON.parse` would keep the
 * last of two equal keys and read 4.0, 1e1 and -0 as integers: here repeated keys, fractions, exponents, signs,
 * leading zeros, halves of surrogate pairs and deep nesting are refused, so that two readers never disagree. More than
 * `maxMembers` of any object or list are refused as well, where they stand.
 */
export function parseStrictJson(text: string, maxMembers = MAX_MEMBERS): StrictValue {
  const reader = new Reader(text, maxMembers);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  private at = 0;
  private readonly text: string;
  private readonly maxMembers: number;

  constructor(text: string, maxMembers: number) {
    this.text = text;
    this.maxMembers = maxMembers;
  }

  value(depth: number): StrictValue {
    must(depth <= MAX_DEPTH, 'WEIGHTS_HEADER', `the header nests deeper than ${MAX_DEPTH}`);
    const c = this.peek();
    if (c === '{') return this.object(depth);
    if (c === '[') return this.array(depth);
    if (c === '"') return this.string();
    return this.integer();
  }

  /** Trailing spaces pad the header to its alignment; anything else is refused. */
  end(): void {
    must(/^ *$/.test(this.text.slice(this.at)), 'WEIGHTS_HEADER', 'there are bytes behind the header object');
  }

  private object(depth: number): Map<string, StrictValue> {
    const out = new Map<string, StrictValue>();
    this.list('{', '}', () => {
      const key = this.string();
      must(!out.has(key), 'WEIGHTS_HEADER', () => `the key ${JSON.stringify(key.slice(0, 80))} stands twice`);
      this.take(':');
      out.set(key, this.value(depth + 1));
    });
    return out;
  }

  private array(depth: number): StrictValue[] {
    const out: StrictValue[] = [];
    this.list('[', ']', () => out.push(this.value(depth + 1)));
    return out;
  }

  private list(open: string, close: string, item: () => void): void {
    this.take(open);
    if (this.peek() === close) {
      this.take(close);
      return;
    }
    for (let members = 1; ; members++) {
      must(members <= this.maxMembers, 'WEIGHTS_HEADER', () => `expected at most ${this.maxMembers} members`);
      item();
      if (this.peek() === close) break;
      this.take(',');
    }
    this.take(close);
  }

  private string(): string {
    must(this.peek() === '"', 'WEIGHTS_HEADER', () => `expected a string at character ${this.at}`);
    const raw = this.text.slice(this.at, this.stringEnd());
    this.at += raw.length;
    try {
      const value = JSON.parse(raw) as string;
      must(!LONE_SURROGATE.test(value), 'WEIGHTS_HEADER', 'a string holds half a surrogate pair');
      return value;
    } catch (cause) {
      if (cause instanceof PoolError) throw cause;
      throw new PoolError(
        'WEIGHTS_HEADER',
        `bad escape in the string before character ${this.at}`,
        {},
        { cause },
      );
    }
  }

  /** Behind the closing quote. A loop: a regular expression overflows its stack on millions of escapes. */
  private stringEnd(): number {
    for (let at = this.at + 1; at < this.text.length; at++) {
      const c = this.text.charCodeAt(at);
      if (c === BACKSLASH) at++;
      else if (c === QUOTE) return at + 1;
    }
    throw new PoolError('WEIGHTS_HEADER', `unfinished string at character ${this.at}`);
  }

  private integer(): number {
    const pattern = /(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y;
    pattern.lastIndex = this.at;
    const raw = pattern.exec(this.text)?.[0];
    must(
      raw !== undefined && Number.isSafeInteger(Number(raw)),
      'WEIGHTS_HEADER',
      () =>
        `expected a plain integer at character ${this.at}, got ${JSON.stringify(this.text.slice(this.at, this.at + 24))}`,
    );
    this.at += raw.length;
    return Number(raw);
  }

  private peek(): string | undefined {
    while (' \n\r\t'.includes(this.text[this.at] ?? 'x')) this.at++;
    return this.text[this.at];
  }

  private take(c: string): void {
    must(this.peek() === c, 'WEIGHTS_HEADER', () => `expected '${c}' at character ${this.at}`);
    this.at++;
  }
}
