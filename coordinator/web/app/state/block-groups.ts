import type { BlockView } from '#shared/api/schemas.ts';

/** The Parameter blocks of one submission: consecutive heights that became visible together. */
export interface BlockGroup {
  readonly submission: string;
  readonly first: number;
  readonly last: number;
  /** Model root after its last block, once that block was seen. */
  readonly root: string | null;
  readonly miner: string;
  readonly atMs: number;
  readonly blocks: readonly TensorBlock[];
}

export interface TensorBlock {
  readonly index: number;
  readonly hash: string;
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/**
 * Joins blocks, in any order, into `known` groups; the result is newest first, at most `limit` groups, and ends
 * where the next group below is not known. Part numbers tell a group's heights, so one block is enough to place it.
 */
export function mergeBlocks(
  known: readonly BlockGroup[],
  blocks: readonly BlockView[],
  limit: number,
): BlockGroup[] {
  const groups = new Map(known.map((group) => [group.first, group]));
  for (const block of blocks) {
    const body = readBody(block.body);
    if (!body) continue;
    const first = block.index - body.part;
    groups.set(first, joined(groups.get(first), block, body));
  }
  return withoutHoles([...groups.values()].sort((a, b) => b.first - a.first)).slice(0, limit);
}

/** Height of the block that seals the group below the oldest known one; null when genesis is known. */
export function nextUnknownSeal(groups: readonly BlockGroup[]): number | null {
  const oldest = groups.at(-1);
  return oldest && oldest.first > 0 ? oldest.first - 1 : null;
}

export function groupBytes(group: BlockGroup): number {
  return group.blocks.reduce((sum, block) => sum + block.bytes, 0);
}

/** True once every block of the group is here, so that its size is known. */
export function isWhole(group: BlockGroup): boolean {
  return group.blocks.length === group.last - group.first + 1;
}

interface Body {
  readonly submission: string;
  readonly part: number;
  readonly parts: number;
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly root: string | null;
}

function withoutHoles(groups: readonly BlockGroup[]): BlockGroup[] {
  const hole = groups.findIndex((group, i) => i > 0 && groups[i - 1]?.first !== group.last + 1);
  return groups.slice(0, hole === -1 ? groups.length : hole);
}

function joined(group: BlockGroup | undefined, block: BlockView, body: Body): BlockGroup {
  const first = block.index - body.part;
  const last = first + body.parts - 1;
  const tensor: TensorBlock = {
    index: block.index,
    hash: block.hash,
    name: body.name,
    dtype: body.dtype,
    shape: body.shape,
    bytes: block.payload_size,
  };
  const others = group?.blocks.filter(({ index }) => index !== block.index) ?? [];
  return {
    submission: body.submission,
    first,
    last,
    root: block.index === last ? body.root : (group?.root ?? null),
    miner: block.miner_pub,
    atMs: Math.max(group?.atMs ?? 0, block.timestamp * 1000),
    blocks: [...others, tensor].sort((a, b) => a.index - b.index),
  };
}

/** The schema leaves the body open, so every field is looked at before it is used. */
function readBody(value: unknown): Body | null {
  if (typeof value !== 'object' || value === null) return null;
  const body = value as Partial<Record<keyof Body, unknown>>;
  const { submission, part, parts, name, dtype, shape, root } = body;
  if (!isWholeNumber(part) || !isWholeNumber(parts) || part >= parts) return null;
  if (typeof submission !== 'string' || typeof name !== 'string') return null;
  return {
    submission,
    part,
    parts,
    name,
    dtype: typeof dtype === 'string' ? dtype : '',
    shape: Array.isArray(shape) ? shape.filter(isWholeNumber) : [],
    root: typeof root === 'string' ? root : null,
  };
}

function isWholeNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
