import assert from 'node:assert/strict';
import { it } from 'node:test';
import { healthView } from '#coordinator/dispatch/machine-view.ts';
import { parseGpus } from '#worker/devices.ts';
import { Health } from '#worker/status/health.ts';

it('tells of GPUs and of the last trouble, by its age, as the pool shows it by its own clock', async () => {
  const tally = { trouble: { at: 1_000, message: `a line\n${'x'.repeat(300)}` } };
  const read = async () =>
    parseGpus('0, H100, 81559, 4, 50, 41, 70\n1, old, 6144, [N/A], [N/A], [N/A], [N/A]\n');
  const health = await Health.start(tally, () => 6_000, read);
  const told = health.get();
  health.close();
  assert.deepEqual(told?.gpus, [{ utilisation: 0.5, celsius: 41, memoryUsedBytes: 4 * 2 ** 20 }, {}]);
  assert.equal(told?.trouble?.agoMs, 5_000);
  assert.match(told?.trouble?.message ?? '', /^a line x{193}$/);
  const shown = told && healthView(told, 1_800_000_000_000);
  assert.equal(shown?.trouble?.at, 1_799_999_995_000);
  assert.deepEqual(shown?.gpus[1], { utilisation: null, celsius: null, memory_used_bytes: null });
});

it('tells nothing where there is nothing', async () => {
  const health = await Health.start(
    { trouble: undefined },
    () => 0,
    async () => [],
  );
  assert.equal(health.get(), undefined);
});
