import type { Manifest } from '#shared/block/manifest.ts';
import type { SequentialRule } from '#shared/pol/sequential.ts';

/** PROTOCOL §8: the gate of a Meta block for what is judged on the B head at `height`. */
export function gateRule({ gate }: Pick<Manifest, 'gate'>, height: number): SequentialRule {
  return {
    deltaMicroNats: deltaAt(gate, height),
    zMilli: gate.z_milli,
    looks: [...(gate.early?.looks ?? []), gate.windows],
    hopelessZMilli: gate.early?.hopeless_z_milli ?? 0,
    ...(gate.early?.clear_z_milli === undefined ? {} : { clearZMilli: gate.early.clear_z_milli }),
  };
}

/**
 * δ at a height: each `blocks` of chain B leave ⌊δ·keep_bp / 10000⌋ of it, never less than the floor. What is easy
 * to gain while the model is young would shut out all that is left to gain later.
 */
export function deltaAt({ delta_micro_nats, decay }: Manifest['gate'], height: number): number {
  if (!decay) return delta_micro_nats;
  const floor = Math.min(decay.floor_micro_nats, delta_micro_nats);
  let delta = BigInt(delta_micro_nats);
  for (let i = Math.floor(height / decay.blocks); i > 0 && delta > floor; i--) {
    const next = (delta * BigInt(decay.keep_bp)) / 10_000n;
    if (next === delta) break;
    delta = next;
  }
  return Math.max(floor, Number(delta));
}
