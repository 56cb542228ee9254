/**
 * The printable character that byte-level BPE writes for each byte (GPT-2, Radford et al. 2019): printable
 * Latin-1 stands for itself, the other 68 bytes follow from U+0100 on, so that no token holds a blank.
 */
export const BYTE_TO_CHAR: readonly string[] = byteToChar();

export const CHAR_TO_BYTE: ReadonlyMap<string, number> = new Map(
  BYTE_TO_CHAR.map((char, byte) => [char, byte]),
);

function byteToChar(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}
