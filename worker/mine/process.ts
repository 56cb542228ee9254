import { GpuSearch } from '#worker/mine/gpu-search.ts';
import type { GrindJob } from '#worker/mine/grinder.ts';
import { serve } from '#worker/process/serve.ts';

/* The process of the WebGPU grinder: a driver may crash or hang, and Dawn keeps a thread busy while it waits. */

let starting: Promise<GpuSearch> | undefined;

/** `null` asks which device it is, a job for its lowest nonce. */
serve(process, async (request) => {
  starting ??= GpuSearch.start();
  const gpu = await starting;
  return request === null ? gpu.device : gpu.lowest(request as GrindJob);
});
