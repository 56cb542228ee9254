import type { Certificate } from '#shared/block/body.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { verifySignature } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { type GateVerdict, gate } from '#shared/pol/gate.ts';
import { drawWindows } from '#shared/pol/windows.ts';
import { attestationDigest } from '#shared/protocol/attestation.ts';

export interface Judged {
  readonly submission: Uint8Array;
  /** B head that the submission was judged on, and the salt that belongs to it. */
  readonly head: Uint8Array;
  readonly salt: Uint8Array;
  readonly baseRoot: Uint8Array;
  readonly candidateRoot: Uint8Array;
}

/** PROTOCOL §8: the windows of a submission, unknown to everybody until it and the head are fixed. */
export function windowsOf(
  networkId: Uint8Array,
  judged: Omit<Judged, 'baseRoot' | 'candidateRoot'>,
  manifest: Manifest,
): number[] {
  const seed = digest('seed', networkId, judged.submission, judged.head, judged.salt);
  return drawWindows(seed, manifest.validation.windows, manifest.gate.windows);
}

/**
 * PROTOCOL §8: checks that the certificate proves the gain: the windows follow from the seed, enough different
 * workers signed what they found, they agree within the tolerance, and the gate holds for each of them. Returns the
 * verdict of the first. BLOCK_CERTIFICATE otherwise.
 */
export function verifyCertificate(
  networkId: Uint8Array,
  judged: Judged,
  { certificate, manifest }: { certificate: Certificate; manifest: Manifest },
): GateVerdict {
  const refuse = (condition: unknown, text: string) => must(condition, 'BLOCK_CERTIFICATE', text);
  refuse(equalBytes(certificate.head, judged.head), 'the certificate was made on another head');
  const windows = windowsOf(networkId, judged, manifest);
  refuse(
    windows.length === certificate.windows.length && windows.every((w, i) => w === certificate.windows[i]),
    'the windows do not follow from the seed',
  );
  const workers = new Set<string>();
  const verdicts = certificate.attestations.map((attestation) => {
    workers.add(attestation.worker.join());
    const signed = attestationDigest(networkId, { ...judged, windows }, attestation);
    refuse(
      verifySignature(attestation.signature, signed, attestation.worker),
      'an attestation is not signed by its worker',
    );
    refuse(
      attestation.base.length === windows.length && attestation.candidate.length === windows.length,
      'an attestation has not one loss per window and side',
    );
    return gate(attestation.base, attestation.candidate, {
      deltaMicroNats: manifest.gate.delta_micro_nats,
      zMilli: manifest.gate.z_milli,
    });
  });
  refuse(workers.size === certificate.attestations.length, 'a worker attests twice');
  refuse(
    workers.size >= manifest.quorum.attestations,
    `expected ${manifest.quorum.attestations} attestations, got ${workers.size}`,
  );
  const { tolerance_micro_nats } = manifest.quorum;
  for (const side of ['base', 'candidate'] as const)
    refuse(
      spread(certificate.attestations.map((attestation) => attestation[side])) <= tolerance_micro_nats,
      `the attestations differ by more than ${tolerance_micro_nats} micro-nats on a window`,
    );
  refuse(
    verdicts.every((v) => v.passed),
    'the gate does not hold',
  );
  return verdicts[0] as GateVerdict;
}

/** The largest distance between two lists' values at the same place. */
function spread(lists: readonly (readonly number[])[]): number {
  const [first = []] = lists;
  const distances = first.map((_, i) => {
    const values = lists.map((list) => list[i] as number);
    return Math.max(...values) - Math.min(...values);
  });
  return Math.max(0, ...distances);
}
