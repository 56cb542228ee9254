import type { Manifest } from '#shared/block/manifest.ts';
import type { Work } from '#shared/block/work-log.ts';
import { digest } from '#shared/crypto/digest.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { parameterCount, parseConfigText } from '#shared/weights/model-config.ts';

type Rules = Pick<Manifest, 'config' | 'validation'>;

/** PROTOCOL §10: the tokens of all windows, through the base and the candidate, times the model's parameters. */
export function evaluationCredit({ config, validation }: Rules, windows: number): bigint {
  return BigInt(2 * windows * validation.context) * BigInt(parameterCount(parseConfigText(config)));
}

/** What agreed results earn: one unit for each, to the owner of its worker where one is known. */
export function evaluationWork(
  rules: Rules,
  results: {
    readonly ref: Uint8Array;
    readonly attestations: readonly { readonly worker: Uint8Array; readonly base: readonly unknown[] }[];
    readonly owners: readonly (string | undefined)[];
  },
): Work[] {
  return results.attestations.map(({ worker, base }, i) => ({
    worker,
    address: results.owners[i] ?? addressOf(worker),
    credit: evaluationCredit(rules, base.length),
    ref: results.ref,
  }));
}

/** `ref` of the work on a submission's held-out windows: other work than that of judging it. PROTOCOL §10. */
export const heldOutWorkRef = (networkId: Uint8Array, submission: Uint8Array): Uint8Array =>
  digest('held-out-work', networkId, submission);
