import { createHash } from 'node:crypto';

/** The hash that share number `n` of a test stands for. */
export const refOfShare = (n: number): Uint8Array =>
  new Uint8Array(createHash('sha256').update(`share ${n}`).digest());
