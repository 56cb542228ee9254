import type { SealedSubmission } from '#shared/block/audit-chains.ts';
import { decodeMetaBody, decodeParameterBody, type Seal } from '#shared/block/body.ts';
import type { BlockHeader } from '#shared/block/header.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import type { Block } from '#shared/block/verify-block.ts';
import { WORK_KINDS } from '#shared/block/work-log.ts';
import { isZero, toHex } from '#shared/crypto/bytes.ts';
import { addressOf, isPublicKey } from '#shared/crypto/keys.ts';
import { formatAmount } from '#shared/money.ts';
import { deltaAt } from '#shared/pol/rule.ts';
import { expectedHashes } from '#shared/pow/target.ts';
import { parameterCount, parseModelConfig } from '#shared/weights/model-config.ts';

/** A title, then label and value in two columns. */
export interface Section {
  readonly title: string;
  readonly rows: readonly (readonly [label: string, value: string])[];
}

/** A block in words: the header's fields, the body, and what the body seals. */
export function describeBlock(
  block: Block,
  known: { sealed?: SealedSubmission | undefined; manifest?: Manifest | undefined } = {},
): Section[] {
  const header = { title: 'Header', rows: [...headerRows(block.header), row('hash', toHex(block.hash))] };
  if (block.header.chainId === 'A') return [header, ...metaSections(block, known.manifest)];
  const body = tryTo(() => decodeParameterBody(block.body));
  if (body === undefined)
    return [header, { title: 'Body', rows: [row('unreadable', 'not a Parameter body')] }];
  const rows = [
    row('part', `${body.part + 1} of ${body.parts}`),
    row('submission', isZero(body.submission) ? 'none: genesis' : toHex(body.submission)),
    row('tensor', `${body.name}, ${body.dtype} [${body.shape.join(', ')}]`),
    row('model root', `${toHex(body.root)} (after this block)`),
  ];
  const seal = body.seal ?? known.sealed?.seal;
  const sections = [header, { title: 'Body', rows }];
  if (seal === undefined) return sections;
  const title = body.seal ? 'Seal' : `Seal (in B${known.sealed?.after.position.index})`;
  return [...sections, { title, rows: sealRows(seal, known.sealed) }];
}

function headerRows(header: BlockHeader): Section['rows'] {
  const time = new Date(header.timestampMs).toISOString();
  const hashes = tryTo(() => expectedHashes(header.bits));
  const miner = isPublicKey(header.minerPub) ? ` (${addressOf(header.minerPub)})` : '';
  return [
    row('version', String(header.version)),
    row('index', String(header.index)),
    row('timestamp', `${header.timestampMs / 1000} (${time})`),
    row('prev_hash', toHex(header.prevHash)),
    row('chain_id', header.chainId),
    row('points_to', toHex(header.pointsTo)),
    row('payload_hash', toHex(header.payloadHash)),
    row('payload_size', `${header.payloadBytes.toLocaleString('en')} bytes`),
    row('miner_pub', `${toHex(header.minerPub)}${miner}`),
    row('payload_sig', toHex(header.payloadSig)),
    row('nonce', header.nonce.toString(16).padStart(16, '0')),
    row('body_hash', toHex(header.bodyHash)),
    row(
      'bits',
      `${header.bits.toString(16).padStart(8, '0')} (${hashes?.toLocaleString('en') ?? 'no valid number of'} hashes on average)`,
    ),
  ];
}

function sealRows(seal: Seal, sealed: SealedSubmission | undefined): Section['rows'] {
  const rows = [
    row('base', isZero(seal.base) ? 'none' : toHex(seal.base)),
    row('salt', toHex(seal.salt)),
    row('next_salt_hash', toHex(seal.next_salt_hash)),
    row('journal', `${seal.journal.seq} entries, head ${toHex(seal.journal.head)}`),
    row('journal root', toHex(seal.journal.root)),
    ...WORK_KINDS.map((kind) =>
      row(`${kind} log`, `${seal.work[kind].seq} units, head ${toHex(seal.work[kind].head)}`),
    ),
    row('rewards', toHex(seal.rewards)),
  ];
  const { certificate } = seal;
  if (certificate === null) return [...rows, row('certificate', 'none: genesis')];
  rows.push(row('judged on head', toHex(certificate.head)));
  rows.push(row('windows', `${certificate.windows.length}: ${certificate.windows.join(' ')}`));
  certificate.attestations.forEach(({ worker, backend, base, candidate }, i) => {
    const address = isPublicKey(worker) ? addressOf(worker) : toHex(worker);
    const losses = `${nats(mean(base))} → ${nats(mean(candidate))} nats`;
    rows.push(row(`attestation ${i + 1}`, `${address} (${backend}): ${losses}`));
  });
  const verdict = sealed?.verdict;
  if (sealed && verdict) {
    const { gate } = sealed.meta.manifest;
    const delta = deltaAt(gate, sealed.before.position.index);
    const looked = `after ${verdict.windows} of ${gate.windows} windows`;
    rows.push(
      row(
        'gate',
        `gain ${nats(verdict.meanGainMicroNats)} − margin ${nats(verdict.marginMicroNats)} ≥ ${nats(delta)} nats ${looked}: ${verdict.passed ? 'holds' : 'does not hold'}`,
      ),
    );
  }
  return rows;
}

function metaSections(block: Block, manifest: Manifest | undefined): Section[] {
  const body = tryTo(() => decodeMetaBody(block.body));
  const signatures = body?.signatures.map(({ key }) =>
    row('signed by', isPublicKey(key) ? addressOf(key) : toHex(key)),
  ) ?? [row('unreadable', 'not a Meta body')];
  const sections = [{ title: 'Body', rows: signatures }];
  return manifest ? [...sections, { title: 'Payload', rows: manifestRows(manifest) }] : sections;
}

function manifestRows(manifest: Manifest): Section['rows'] {
  const { validation, gate, quorum, pow, reward, governors, fees } = manifest;
  const config = parseModelConfig(JSON.parse(manifest.config));
  const split = Object.entries(reward.split_bp).map(([who, bp]) => `${who} ${bp / 100} %`);
  return [
    row(
      'name',
      `${manifest.name}${manifest.unsafe_keys ? ' (its keys are public: a development network)' : ''}`,
    ),
    row('runtime', manifest.runtime),
    row(
      'model',
      `${config.family}, ${parameterCount(config).toLocaleString('en')} parameters: ${config.layers} layers, width ${config.width}, ${config.heads} heads, context ${config.context}, vocabulary ${config.vocabulary}`,
    ),
    row(
      'validation set',
      `${validation.windows} windows of ${validation.context} tokens in ${validation.shards.length} shards, root ${toHex(validation.root)}`,
    ),
    row('held out', heldOutText(validation.held_out)),
    row('gate', gateText(gate)),
    row(
      'quorum',
      `${quorum.attestations} attestations, tolerance ${nats(quorum.tolerance_micro_nats)} nats per window`,
    ),
    row('proof of work', powText(pow)),
    row('reward', `${formatAmount(reward.units)} per submission: ${split.join(', ')}`),
    row('chat fee', `${formatAmount(fees.chat_token_units)} per token`),
    row('pool', addressOf(manifest.pool_key)),
    row('governors', `${governors.threshold} of ${governors.keys.map(addressOf).join(', ')}`),
    ...manifest.rules.map(({ name, text }) => row(`rule ${name}`, text)),
  ];
}

function powText({ bits, retarget }: Manifest['pow']): string {
  const hashes = `${expectedHashes(bits).toLocaleString('en')} hashes on average`;
  if (!retarget) return hashes;
  return `${hashes} at first, then what takes ${retarget.aim_ms / 1000} s, looked at every ${retarget.window_blocks} blocks`;
}

function gateText({ delta_micro_nats: delta, z_milli, windows, early, decay }: Manifest['gate']): string {
  const least = decay && Math.min(decay.floor_micro_nats, delta);
  const falling = least === undefined ? '' : `, falling to ${nats(least)}`;
  const clear = early?.clear_z_milli === undefined ? '' : `, where z ${early.clear_z_milli / 1000} is clear`;
  const looks = early ? `, looks after ${early.looks.join(', ')}${clear}` : '';
  return `δ ${nats(delta)} nats${falling}, z ${z_milli / 1000}, ${windows} windows${looks}`;
}

/** What others wrote does not steer the terminal. */
export function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ');
}

export const nats = (microNats: number): string => (microNats / 1e6).toFixed(6);

const row = (label: string, value: string) => [label, oneLine(value)] as const;

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

function tryTo<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function heldOutText({ windows, root, epoch }: Manifest['validation']['held_out']): string {
  const revealed =
    epoch && `, of which ${epoch.shards} shards are revealed after every ${epoch.seals} submissions`;
  return `${windows} windows, root ${toHex(root)}${revealed ?? ''}`;
}
