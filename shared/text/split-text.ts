/** Long enough that a part holds many windows, short enough that even a small text has several. */
export const PART_CHARS = 8_192;

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

/** Parts of a validation text: public and held out in turn. */
export function splitValidationText(text: string): { public: string[]; heldOut: string[] } {
  const parts = splitText(text.replaceAll('\r\n', '\n'));
  return { public: parts.filter((_, i) => i % 2 === 0), heldOut: parts.filter((_, i) => i % 2 === 1) };
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
