import type { Chain } from '#coordinator/chain/chain.ts';
import type { PlannedTensor } from '#coordinator/submission/reception.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import {
  SUBMISSION_METADATA_KEY,
  type SubmissionManifest,
  type SubmittedTensor,
} from '#shared/protocol/submission.ts';
import { verifySubmission } from '#shared/protocol/verify-submission.ts';
import { tensorBytes } from '#shared/weights/dtype.ts';
import type { SafetensorsEntry, SafetensorsHeader } from '#shared/weights/safetensors.ts';

/** Metadata of other tools, and per tensor its name, twice, form, hash and signature. */
const HEADER_BYTES = 64 * 1024;
const HEADER_BYTES_PER_TENSOR = 2 * 1024;

/** A header that is in order in itself, signed, and of tensors that the model has. */
export interface Signed {
  readonly id: Uint8Array;
  readonly manifest: SubmissionManifest;
  readonly header: SafetensorsHeader;
}

/** A submission that may come, and what is to be done with the bytes that follow. */
export interface Admitted extends Signed {
  /** In the order of the file. */
  readonly tensors: readonly PlannedTensor[];
}

/** PROTOCOL §12: what can be wrong with a header grows with it, so it is bounded by the model. */
export function maxHeaderBytes(chain: Chain): number {
  return HEADER_BYTES + HEADER_BYTES_PER_TENSOR * chain.sealed.tensors.size;
}

/** Everything that the header alone can tell, at any time. PROTOCOL §9. */
export function verifyHeader(chain: Chain, header: SafetensorsHeader): Signed {
  for (const entry of header.entries) checkEntry(chain, entry);
  const text = header.metadata.get(SUBMISSION_METADATA_KEY);
  must(
    text !== undefined,
    'BAD_REQUEST',
    `expected the signed manifest under ${SUBMISSION_METADATA_KEY} in __metadata__`,
  );
  // Each signature costs time: no more of them are looked at than there are tensors.
  const verified = verifySubmission(chain.networkId, text, header.entries.length);
  checkSameTensors(header.entries, verified.manifest.tensors);
  return { ...verified, header };
}

/** What else can be refused without a byte of weights: it depends on the chain of this moment. */
export async function admit(chain: Chain, signed: Signed): Promise<Admitted> {
  await checkBase(chain, signed.manifest);
  const changed = await changedTensors(chain, signed.manifest);
  return { ...signed, tensors: plan(signed, changed) };
}

/** Also when the last byte is there: an upload by parts may take longer than the Meta block stands. */
export async function checkBase(
  chain: Chain,
  manifest: Pick<SubmissionManifest, 'base' | 'meta'>,
): Promise<void> {
  must(
    equalBytes(manifest.meta, chain.meta.hash),
    'SUBMISSION_META',
    () => `expected Meta block ${toHex(chain.meta.hash)}, got ${toHex(manifest.meta)}`,
  );
  must(
    (await chain.rootHeight(manifest.base)) !== undefined,
    'SUBMISSION_BASE',
    () => `the chain never had the model root ${toHex(manifest.base)}`,
  );
}

/** PAYLOAD_KNOWN where one stands on the chain: it was paid for already. */
export async function checkNew(
  chain: Chain,
  tensors: readonly { readonly name: string; readonly payloadHash: Uint8Array }[],
): Promise<void> {
  for (const { name, payloadHash } of tensors) {
    const height = await chain.payloadHeight(payloadHash);
    must(height === undefined, 'PAYLOAD_KNOWN', () => `${name}: these bytes are already block B${height}`);
  }
}

function checkEntry(chain: Chain, entry: SafetensorsEntry): void {
  const ours = chain.sealed.tensors.get(entry.name);
  must(ours, 'WEIGHTS_NAMES', () => `the model has no tensor ${JSON.stringify(entry.name.slice(0, 100))}`);
  must(
    ours.dtype === entry.dtype,
    'WEIGHTS_DTYPE',
    () => `${entry.name}: expected ${ours.dtype}, got ${entry.dtype}`,
  );
  must(
    ours.shape.length === entry.shape.length && ours.shape.every((n, i) => n === entry.shape[i]),
    'WEIGHTS_SHAPE',
    () => `${entry.name}: expected [${ours.shape.join(', ')}], got [${entry.shape.join(', ')}]`,
  );
}

/** The signed list and the file must name the same tensors in the same form. */
function checkSameTensors(entries: readonly SafetensorsEntry[], signed: readonly SubmittedTensor[]): void {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  must(
    byName.size === signed.length,
    'WEIGHTS_NAMES',
    () => `expected the ${entries.length} tensors of the file to be signed, got ${signed.length}`,
  );
  for (const tensor of signed) {
    const entry = byName.get(tensor.name);
    must(
      entry && entry.dtype === tensor.dtype && entry.shape.join() === tensor.shape.join(),
      'WEIGHTS_NAMES',
      () => `${JSON.stringify(tensor.name.slice(0, 100))} is signed in another form than the file has`,
    );
  }
}

/** The tensors that differ from the head. */
async function changedTensors(chain: Chain, manifest: SubmissionManifest): Promise<Set<string>> {
  const head = chain.sealed.tensors;
  const changed = manifest.tensors.filter(
    (t) => !equalBytes(t.payloadHash, (head.get(t.name) as { payloadHash: Uint8Array }).payloadHash),
  );
  must(changed.length > 0, 'WEIGHTS_UNCHANGED', 'every tensor equals the one at the head');
  await checkNew(chain, changed);
  return new Set(changed.map((t) => t.name));
}

/** Two tensors of one submission may have the same bytes, such as two biases of zeros: they are kept once. */
function plan({ header, manifest }: Signed, changed: ReadonlySet<string>): PlannedTensor[] {
  const signed = new Map(manifest.tensors.map((tensor) => [tensor.name, tensor]));
  const kept = new Set<string>();
  return header.entries.map(({ name }) => {
    const tensor = signed.get(name) as SubmittedTensor;
    const bytes = tensorBytes(tensor.dtype, tensor.shape);
    if (!changed.has(name)) return { tensor, bytes, use: 'skip' };
    const hash = toHex(tensor.payloadHash);
    if (kept.has(hash)) return { tensor, bytes, use: 'check' };
    kept.add(hash);
    return { tensor, bytes, use: 'keep' };
  });
}
