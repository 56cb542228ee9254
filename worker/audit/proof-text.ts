import type { Proven } from '#shared/block/verify-proof.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { formatAmount } from '#shared/money.ts';
import { oneLine } from '#worker/audit/describe-block.ts';

type Row = readonly [label: string, value: string];

/** What a proof shows, for people. Where no hash was given to compare, the block's stands first: all rests on it. */
export function provenText(proven: Proven, trusted: boolean): string {
  const { block } = proven;
  const hash = toHex(block.hash);
  const head = trusted
    ? `Proved by block B${block.header.index}, whose hash is the one you trust:`
    : `Proved by block B${block.header.index}, if this is its hash (compare it with one that you trust):`;
  const rows = proven.what === 'entry' ? entryRows(proven) : tensorRows(proven);
  const width = Math.max(...rows.map(([label]) => label.length));
  return [
    head,
    `  ${hash}`,
    '',
    ...rows.map(([label, text]) => `  ${label.padEnd(width)}  ${text}`),
    '',
  ].join('\n');
}

/** The same as one JSON object. */
export function provenJson(proven: Proven): Record<string, unknown> {
  const { block } = proven;
  const at = { index: block.header.index, hash: toHex(block.hash), timestamp: block.header.timestampMs };
  if (proven.what === 'tensor') {
    const { name, dtype, shape, payloadHash } = proven.tensor;
    const tensor = { name, dtype, shape, hash: toHex(payloadHash) };
    return { ok: true, block: at, tensor, root: toHex(proven.root) };
  }
  const { prev, ref, amount, ...entry } = proven.entry;
  const shown = { ...entry, prev: toHex(prev), ref: toHex(ref), amount: amount.toString() };
  return { ok: true, block: at, entry: shown };
}

function entryRows({ entry, journal }: Extract<Proven, { what: 'entry' }>): Row[] {
  return [
    ['entry', `${entry.seq} of the ${journal.seq} that stood in the journal`],
    ['kind', entry.kind],
    ['from', entry.from === null ? 'minted' : oneLine(entry.from)],
    ['to', entry.to === null ? 'burned' : oneLine(entry.to)],
    ['amount', `${formatAmount(entry.amount)} (${entry.amount} base units)`],
    ['ref', toHex(entry.ref)],
    ['at', new Date(entry.at).toISOString()],
  ];
}

function tensorRows({ tensor, root }: Extract<Proven, { what: 'tensor' }>): Row[] {
  return [
    ['tensor', oneLine(tensor.name)],
    ['dtype', tensor.dtype],
    ['shape', `[${tensor.shape.join(', ')}]`],
    ['SHA-256', toHex(tensor.payloadHash)],
    ['model root', toHex(root)],
  ];
}
