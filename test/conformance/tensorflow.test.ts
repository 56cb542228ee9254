import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PoolError } from '#shared/errors/pool-error.ts';
import { describeBackend } from '#test/conformance/backend.ts';
import { describeKernels } from '#test/conformance/kernels.ts';
import { describeModels } from '#test/conformance/model.ts';
import { startBackend } from '#worker/model/backend/start.ts';

const start = () => startBackend('tensorflow');
const fault = await start().then(
  () => undefined,
  (error: PoolError) => error,
);

if (fault === undefined) {
  describeBackend('tensorflow');
  describeKernels('tensorflow', start);
  describeModels('tensorflow', start);
} else {
  describe('backend tensorflow', () => {
    it('BACKEND: where it is not set up, it says how to have it', (t) => {
      assert.equal(fault.code, 'BACKEND');
      assert.match(fault.message, /not set up here \(npm run setup:tensorflow\)/);
      t.diagnostic('its kernels and models are not tested: it is not set up here (npm run setup:tensorflow)');
    });
  });
}
