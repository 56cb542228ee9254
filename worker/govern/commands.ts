import { join } from 'node:path';
import { type MetaView, metaSchema } from '#shared/api/schemas.ts';
import { decodeMetaBody } from '#shared/block/body.ts';
import { decodeManifest, encodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { type FieldChange, manifestChanges, manifestFields } from '#shared/block/manifest-text.ts';
import { checkMetaChange } from '#shared/block/meta-change.ts';
import { encodeProposal, type MetaProposal, signersOf, signProposal } from '#shared/block/meta-proposal.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { readValidationSet } from '#shared/pol/validation-set.ts';
import { HttpSource } from '#worker/audit/source.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { type ChangeOptions, changeManifest } from '#worker/govern/change-manifest.ts';
import { type CheckedMeta, readMetaBlocks } from '#worker/govern/meta-chain.ts';
import { readHeldOut, readProposal, replaceProposal, writeProposal } from '#worker/govern/proposal-file.ts';
import { existingKey, type KeyFlags } from '#worker/wallet/signing-key.ts';

/* What the subcommands of `aiblock meta` do. Nothing that the pool says of its rules is believed unchecked. */

export interface MetaFlags {
  readonly coordinator: string;
  readonly json: boolean;
}

/** `show`: the Meta block that rules, or the one at a height. */
export async function show(
  index: number | undefined,
  flags: MetaFlags,
  environment: CommandEnvironment,
): Promise<void> {
  const blocks = await chainOf(flags, environment);
  const shown = index === undefined ? blocks.at(-1) : blocks[index];
  must(shown, 'NOT_FOUND', `the Meta chain has no block ${index}: its head is A${blocks.length - 1}`);
  const fields = JSON.stringify(manifestFields(shown.meta.manifest), null, 2);
  environment.out(flags.json ? `${fields}\n` : `${describe(shown).join('\n')}\n\n${fields}\n`);
}

function describe({ block, meta }: CheckedMeta): string[] {
  const { header } = block;
  const { threshold, keys } = meta.manifest.governors;
  const signed = decodeMetaBody(block.body).signatures.map(({ key }) => addressOf(key));
  return [
    `Meta block A${meta.index}  ${toHex(meta.hash)}`,
    `Made                ${new Date(header.timestampMs).toISOString()}${meta.index === 0 ? '' : `, on B head ${toHex(header.pointsTo)}`}`,
    `Signed by           ${signed.join(', ')}`,
    `Governors           ${threshold} of ${keys.map(addressOf).join(', ')}`,
    `Pool                ${addressOf(meta.manifest.pool_key)}`,
  ];
}

/** `diff`: what a proposal changes, who has signed it, and whether it can stand. */
export async function diff(path: string, flags: MetaFlags, environment: CommandEnvironment): Promise<void> {
  const checked = await check(await readProposal(path), flags, environment);
  environment.out(flags.json ? `${JSON.stringify(jsonOf(checked))}\n` : `${lines(checked).join('\n')}\n`);
}

/** `propose`: writes a proposal that nobody has signed yet. */
export async function propose(
  path: string,
  flags: MetaFlags & ChangeOptions,
  environment: CommandEnvironment,
): Promise<void> {
  const blocks = await chainOf(flags, environment);
  const { meta } = blocks.at(-1) as CheckedMeta;
  const { manifest, heldOut } = await changeManifest(meta.manifest, flags);
  must(
    manifestChanges(meta.manifest, manifest).length > 0,
    'OPTION',
    'expected a change, such as --set gate.z_milli=2500',
  );
  checkMetaChange(meta.manifest, manifest);
  readValidationSet(manifest);
  const proposal: MetaProposal = {
    v: 1,
    network: blocks[0].meta.hash,
    index: meta.index + 1,
    prev: meta.hash,
    payload: encodeManifest(manifest),
    ...(heldOut ? { held_out: [...heldOut] } : {}),
    signatures: [],
  };
  await writeProposal(path, proposal);
  const { threshold } = meta.manifest.governors;
  const next = `Now ${threshold} of its ${meta.manifest.governors.keys.length} governors sign it: aiblock meta sign ${path}`;
  print({ proposal, before: meta.manifest, manifest }, flags, environment, next);
}

/** `sign`: adds a governor's signature, after everything about the proposal was checked and shown. */
export async function signFile(
  path: string,
  flags: MetaFlags & KeyFlags & { dataDir: string },
  environment: CommandEnvironment,
): Promise<void> {
  const checked = await check(await readProposal(path), flags, environment);
  const key = await existingKey(flags, join(flags.dataDir, 'keys', 'governor'), environment);
  must(
    checked.before.governors.keys.some((governor) => equalBytes(governor, key.publicKey)),
    'UNAUTHORISED',
    `${key.address} is no governor: expected one of ${checked.before.governors.keys.map(addressOf).join(', ')}`,
  );
  const proposal = signProposal(checked.proposal, key);
  await replaceProposal(path, proposal);
  print({ ...checked, proposal }, flags, environment, `Signed as ${key.address}`);
}

/** `commit`: has the pool make the block. */
export async function commit(path: string, flags: MetaFlags, environment: CommandEnvironment): Promise<void> {
  const proposal = await readProposal(path);
  const heldOut = await readHeldOut(path);
  const bytes = encodeProposal(heldOut ? { ...proposal, held_out: heldOut } : proposal);
  const api = new ApiClient(flags.coordinator);
  const view = await api.postBytes(
    'meta',
    { bytes, type: 'application/cbor' },
    metaSchema,
    environment.signal,
  );
  environment.out(flags.json ? `${JSON.stringify(view)}\n` : `${committed(view)}\n`);
}

const committed = ({ index, hash, points_to: head }: MetaView): string =>
  `Meta block A${index} ${hash} rules what comes behind B head ${head}`;

interface Checked {
  readonly proposal: MetaProposal;
  readonly before: Manifest;
  readonly manifest: Manifest;
}

/** BLOCK_LINK where it is not for the next place of this pool's Meta chain; META_CHANGE and those of a manifest. */
async function check(
  proposal: MetaProposal,
  flags: MetaFlags,
  environment: CommandEnvironment,
): Promise<Checked> {
  const blocks = await chainOf(flags, environment);
  const { meta } = blocks.at(-1) as CheckedMeta;
  must(
    equalBytes(proposal.network, blocks[0].meta.hash),
    'BLOCK_LINK',
    `the proposal was made for network ${toHex(proposal.network)}, this pool is ${toHex(blocks[0].meta.hash)}`,
  );
  must(
    proposal.index === meta.index + 1 && equalBytes(proposal.prev, meta.hash),
    'BLOCK_LINK',
    `the proposal was made for A${proposal.index} on ${toHex(proposal.prev)}, the newest block is A${meta.index} ${toHex(meta.hash)}: propose it anew`,
  );
  const manifest = decodeManifest(proposal.payload);
  checkMetaChange(meta.manifest, manifest);
  readValidationSet(manifest);
  return { proposal, before: meta.manifest, manifest };
}

function chainOf(
  { coordinator }: MetaFlags,
  { signal }: CommandEnvironment,
): ReturnType<typeof readMetaBlocks> {
  return readMetaBlocks(new HttpSource(new ApiClient(coordinator), signal));
}

function print(checked: Checked, flags: MetaFlags, { out }: CommandEnvironment, last: string): void {
  out(flags.json ? `${JSON.stringify(jsonOf(checked))}\n` : `${[...lines(checked), '', last].join('\n')}\n`);
}

function jsonOf({ proposal, before, manifest }: Checked) {
  const signed = signersOf(proposal, before.governors.keys).map(addressOf);
  const { index, prev } = proposal;
  const changes = manifestChanges(before, manifest);
  return { index, prev: toHex(prev), changes, signed_by: signed, needed: before.governors.threshold };
}

function lines(checked: Checked): string[] {
  const { index, prev, changes, signed_by: signed, needed } = jsonOf(checked);
  return [
    `A${index} on ${prev}`,
    ...changes.map(changeLine),
    `Signed by ${signed.length} of the ${needed} governors that it takes${signed.map((address) => `\n  ${address}`).join('')}`,
  ];
}

function changeLine({ path, before, after }: FieldChange): string {
  const text = (value: FieldChange['before']) => (value === undefined ? 'nothing' : JSON.stringify(value));
  return `  ${path}: ${text(before)} -> ${text(after)}`;
}
