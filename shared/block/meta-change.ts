import type { Manifest } from '#shared/block/manifest.ts';
import { must } from '#shared/errors/pool-error.ts';

/**
 * What makes the model what it is: its weights stand on chain B for this configuration and this tokenizer, and a
 * manifest that changed them would leave nothing of it. `unsafe_keys` tells of how a network was born: whoever knows
 * the public keys of a development network can be first to appoint governors.
 */
const FIXED = ['unsafe_keys', 'runtime', 'config', 'tokenizer', 'tokenizer_config'] as const;

/** PROTOCOL §7: META_CHANGE where a Meta block changes what no Meta block behind genesis may change. */
export function checkMetaChange(before: Manifest, after: Manifest): void {
  for (const field of FIXED)
    must(
      before[field] === after[field],
      'META_CHANGE',
      `${field}: expected it to stay as block A0 has it; this would be another model, on a chain of its own`,
    );
}
