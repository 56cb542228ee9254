import assert from 'node:assert/strict';
import { it } from 'node:test';
import { CPU, chooseDevices, deviceEnvironment, parseGpus } from '#worker/devices.ts';

const TEXT = `0, NVIDIA H100 80GB HBM3, 81559, 4, 37, 31, 69.55
1, NVIDIA GeForce GTX 1060, 6144, 512, [N/A], [N/A], [N/A]
`;
const gpus = parseGpus(TEXT);

it('reads what nvidia-smi tells, and nothing where it tells nothing', () => {
  assert.deepEqual(gpus[0], {
    id: '0',
    name: 'NVIDIA H100 80GB HBM3',
    memoryBytes: 81_559 * 2 ** 20,
    memoryUsedBytes: 4 * 2 ** 20,
    utilisation: 0.37,
    celsius: 31,
    watts: 69.55,
  });
  assert.equal(gpus[1]?.memoryBytes, 6_144 * 2 ** 20);
  assert.equal(gpus[1]?.celsius, undefined);
  assert.deepEqual(parseGpus('NVIDIA-SMI has failed because it could not communicate with the driver'), []);
  assert.deepEqual(parseGpus(''), []);
});

it('chooses by number, all of them, or the processor', () => {
  assert.equal(chooseDevices(undefined, gpus), undefined);
  assert.deepEqual(
    chooseDevices(['1', 'cpu'], gpus)?.map(({ id }) => id),
    ['1', 'cpu'],
  );
  assert.deepEqual(
    chooseDevices(['all'], gpus)?.map(({ id }) => id),
    ['0', '1'],
  );
  assert.deepEqual(chooseDevices(['all'], []), [CPU]);
});

it('OPTION: a device that is not there', () => {
  assert.throws(() => chooseDevices(['2'], gpus), { code: 'OPTION', message: /expected some of 0,1,cpu/ });
  assert.throws(() => chooseDevices(['0'], []), { code: 'OPTION', message: /expected some of cpu/ });
});

it('shows a process its device and no other', () => {
  assert.equal(deviceEnvironment(chooseDevices(['1'], gpus)?.[0]).CUDA_VISIBLE_DEVICES, '1');
  assert.equal(deviceEnvironment(CPU).CUDA_VISIBLE_DEVICES, '-1');
  assert.deepEqual(deviceEnvironment(undefined), {});
});
