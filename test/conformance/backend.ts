import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { assertClose, onBackend } from '#test/helpers/tensors.ts';
import type { Device } from '#worker/model/backend/device.ts';
import { selfTest } from '#worker/model/backend/self-test.ts';
import { TESTED } from '#worker/model/backend/self-test-cases.ts';
import { type BackendName, startBackend } from '#worker/model/backend/start.ts';
import { TinyModel } from '#worker/model/backend/tiny-model.ts';

/** What a backend must do to be used, and its gradients tensor by tensor: small enough for a software GPU. */
export function describeBackend(name: BackendName): void {
  describe(`backend ${name}`, () => {
    let device: Device;
    before(async () => {
      device = await startBackend(name);
    });

    it('passes its self-test: losses, gradients and greedy tokens of transformers', async () => {
      const report = await selfTest(name, device);
      assert.ok(report.gflops > 0);
    });

    for (const { config } of TESTED) {
      it(`has the gradients of the plain backend: ${config.family}`, async () => {
        const ours = await gradients();
        const expected = await onBackend('cpu', gradients);
        assert.deepEqual([...ours.keys()], [...expected.keys()]);
        for (const [tensor, values] of expected) assertClose(ours.get(tensor)!, values, { what: tensor });
      });

      async function gradients(): Promise<Map<string, Float32Array>> {
        const model = new TinyModel(config, 2);
        try {
          return await model.gradients();
        } finally {
          model.dispose();
        }
      }
    }
  });
}
