import type { Attestation, Certificate } from '#shared/block/body.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { verifySignature } from '#shared/crypto/keys.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { agree, type Result } from '#shared/pol/quorum.ts';
import { gateRule } from '#shared/pol/rule.ts';
import {
  lastLook,
  type SequentialRule,
  type SequentialVerdict,
  sequentialVerdict,
} from '#shared/pol/sequential.ts';
import { drawInOrder } from '#shared/pol/windows.ts';
import { attestationDigest } from '#shared/protocol/attestation.ts';

export interface Judged {
  readonly submission: Uint8Array;
  /** B head that the submission was judged on, its height, and the salt that belongs to it. */
  readonly head: Uint8Array;
  readonly height: number;
  readonly salt: Uint8Array;
  readonly baseRoot: Uint8Array;
  readonly candidateRoot: Uint8Array;
}

/**
 * PROTOCOL §8: all windows of a submission, unknown to everybody until it and the head are fixed. They are drawn one
 * after another; those of each look are sorted among themselves and follow those of the look before.
 */
export function windowsOf(
  networkId: Uint8Array,
  { submission, head, salt }: Pick<Judged, 'submission' | 'head' | 'salt'>,
  { total, rule }: { readonly total: number; readonly rule: SequentialRule },
): number[] {
  const seed = digest('seed', networkId, submission, head, salt);
  const order = drawInOrder(seed, total, lastLook(rule));
  return rule.looks.flatMap((end, i) => order.slice(rule.looks[i - 1] ?? 0, end).sort((a, b) => a - b));
}

/**
 * PROTOCOL §8: checks that the certificate proves the gain: the windows follow from the seed, enough different
 * workers signed what they found up to the look that decided, they agree within the tolerance, and the gate holds
 * for each of them. Returns the verdict of the first. BLOCK_CERTIFICATE otherwise.
 */
export function verifyCertificate(
  networkId: Uint8Array,
  judged: Judged,
  { certificate, manifest }: { certificate: Certificate; manifest: Manifest },
): SequentialVerdict {
  const { attestations } = certificate;
  const rule = gateRule(manifest, judged.height);
  refuseUnless(equalBytes(certificate.head, judged.head), 'the certificate was made on another head');
  const windows = windowsOf(networkId, judged, { total: manifest.validation.windows, rule });
  const longest = Math.max(...attestations.map(({ base }) => base.length));
  refuseUnless(
    longest === certificate.windows.length && certificate.windows.every((w, i) => w === windows[i]),
    'the windows do not follow from the seed',
  );
  const verdicts = attestations.map((attestation) => {
    const own = windows.slice(0, attestation.base.length);
    const signed = attestationDigest(networkId, { ...judged, windows: own }, attestation);
    refuseUnless(
      verifySignature(attestation.signature, signed, attestation.worker),
      'an attestation is not signed by its worker',
    );
    return verdictOf(attestation, rule);
  });
  checkQuorum(attestations, manifest.quorum);
  refuseUnless(
    verdicts.every((v) => v.passed),
    'the gate does not hold',
  );
  return verdicts[0] as SequentialVerdict;
}

/** A fault in the form of the losses is the certificate's. */
function verdictOf({ base, candidate }: Attestation, rule: SequentialRule): SequentialVerdict {
  try {
    return sequentialVerdict(base, candidate, rule);
  } catch (error) {
    if (!(error instanceof PoolError)) throw error;
    throw new PoolError('BLOCK_CERTIFICATE', `an attestation: ${error.message}`);
  }
}

/** PROTOCOL §8: enough different workers, of whom any two agree. BLOCK_CERTIFICATE otherwise. */
export function checkQuorum(
  attestations: readonly (Result & { readonly worker: Uint8Array })[],
  quorum: Manifest['quorum'],
): void {
  const { attestations: needed, tolerance_micro_nats: tolerance } = quorum;
  const workers = new Set(attestations.map(({ worker }) => worker.join()));
  refuseUnless(workers.size === attestations.length, 'a worker attests twice');
  refuseUnless(workers.size >= needed, `expected ${needed} attestations, got ${workers.size}`);
  refuseUnless(
    attestations.every((a, i) => attestations.slice(i + 1).every((b) => agree(a, b, tolerance))),
    `the attestations differ by more than ${tolerance} micro-nats on a window, or half of it on the mean`,
  );
}

function refuseUnless(condition: unknown, text: string): asserts condition {
  must(condition, 'BLOCK_CERTIFICATE', text);
}
