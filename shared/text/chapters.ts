/** One chapter as a text package gives it: its number (or a name, for front and back matter) and its text. */
export interface Chapter {
  readonly chapter: string;
  readonly text: string;
}

/** Normalised texts in reading order. No chapter is in two of them. */
export interface TextSplit {
  readonly training: readonly string[];
  readonly publicValidation: readonly string[];
  readonly heldOut: readonly string[];
}

/** Chapters whose number ends in this digit are the public validation text: 7.8 % of Moby Dick. */
const PUBLIC_VALIDATION_DIGIT = 0;
/** Chapters whose number ends in this digit are held out: 8.1 % of Moby Dick. */
const HELD_OUT_DIGIT = 9;
/** Lists and quotations rather than the book's prose. */
const NOT_PROSE: ReadonlySet<string> = new Set(['Contents', 'Etymology', 'Extracts']);

/**
 * Paragraphs joined by one blank line, each on one line: a hard break or a run of blanks becomes one space.
 * Typographic quotation marks become the straight ones that people type; the package has both.
 */
export function normaliseProse(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/[‘’]/g, "'")
    .replace(/[“”]/g, '"')
    .split(/\n[ \t]*(?:\n[ \t]*)+/)
    .map((paragraph) => paragraph.replace(/[ \t\n\u00a0]+/g, ' ').trim())
    .filter((paragraph) => paragraph !== '')
    .join('\n\n');
}

/** Splits by the last digit of the chapter's number; an unnumbered chapter of prose is for training. */
export function splitChapters(chapters: readonly Chapter[]): TextSplit {
  const split = { training: [] as string[], publicValidation: [] as string[], heldOut: [] as string[] };
  for (const { chapter, text } of chapters) {
    if (!NOT_PROSE.has(chapter)) split[partOf(chapter)].push(normaliseProse(text));
  }
  return split;
}

function partOf(chapter: string): keyof TextSplit {
  const digit = /^\d+$/.test(chapter) ? Number(chapter.at(-1)) : -1;
  if (digit === PUBLIC_VALIDATION_DIGIT) return 'publicValidation';
  return digit === HELD_OUT_DIGIT ? 'heldOut' : 'training';
}
