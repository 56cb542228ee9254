import { PoolError } from '#shared/errors/pool-error.ts';
import type { ProbeSetting } from '#worker/model/backend/choose.ts';
import { selfTest } from '#worker/model/backend/self-test.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { serve } from '#worker/process/serve.ts';

/* A process in which one backend is tried: its native code may crash or hang, the program that asks goes on. */

const { backend, allowSoftware, adapter } = JSON.parse(process.argv[2] ?? '{}') as ProbeSetting;

serve(process, async () => {
  const device = await startBackend(backend, adapter);
  if (device.software && !allowSoftware)
    throw new PoolError('BACKEND', `backend ${backend}: ${device.name} is no real GPU`);
  return selfTest(backend, device);
});
