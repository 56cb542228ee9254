import { BACKENDS } from '#shared/env.ts';
import { readGpus } from '#worker/devices.ts';
import { type Finding, findings } from '#worker/doctor/finding.ts';
import type { Log } from '#worker/log.ts';
import { chooseBackend, describeBackend } from '#worker/model/backend/choose.ts';
import { firstLine } from '#worker/model/backend/device.ts';

/** Each backend by its self-test: right or not, and how fast. A machine needs one that is right. */
export async function checkBackends(log: Log, signal: AbortSignal): Promise<Finding[]> {
  const found: Finding[] = [];
  const used: string[] = [];
  for (const name of BACKENDS) {
    const { fine, note } = findings(`backend ${name}`);
    try {
      const report = await chooseBackend(name, { log, signal });
      const text = describeBackend(report).replace(`${name}: `, '');
      if (!report.software) used.push(report.device);
      found.push(report.software ? note(`${text}; a processor that plays a GPU, not used`) : fine(text));
    } catch (error) {
      signal.throwIfAborted();
      found.push(note(firstLine(error).replace(`backend ${name}: `, '')));
    }
  }
  if (found.some(({ state }) => state === 'fine')) return [...found, ...(await gpuUse(used))];
  const mend = 'run `npm ci` again; on a GPU install its driver, then `npm run setup:tensorflow`';
  return [...found, findings('backends').fault('none computes rightly', mend)];
}

/** A GPU with a driver on which nothing computes is what its owner came for. */
async function gpuUse(devices: readonly string[]): Promise<Finding[]> {
  const gpus = await readGpus();
  const [gpu] = gpus;
  if (!gpu) return [];
  const { fine, fault } = findings('gpu use');
  const uses = devices.filter((device) => gpus.some(({ name }) => device.includes(name)));
  if (uses.length > 0) return [fine(`computes on ${uses.join('; ')}`)];
  return [
    fault(
      `${gpu.name} is there, and no backend computes on it`,
      'build TensorFlow for it: `npm run setup:tensorflow -- --cuda`; then call again',
    ),
  ];
}
