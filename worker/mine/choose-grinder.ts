import { readdir } from 'node:fs/promises';
import { platform } from 'node:os';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { Log } from '#worker/log.ts';
import type { Grinder } from '#worker/mine/grinder.ts';
import { hashRate } from '#worker/mine/hash-rate.ts';
import { createJsGrinder } from '#worker/mine/js-grinder.ts';
import type { WantedGrinder } from '#worker/mine/wanted-grinder.ts';
import { createWasmGrinder } from '#worker/mine/wasm-grinder.ts';
import { createWebgpuGrinder } from '#worker/mine/webgpu-grinder.ts';

type GrinderName = 'wasm' | 'webgpu' | 'js';

/** How each is started; all reject with BACKEND where this machine cannot. */
export type GrinderMakers = Readonly<Record<GrinderName, () => Promise<Grinder>>>;

export interface ChosenGrinder {
  readonly name: GrinderName;
  readonly grinder: Grinder;
}

/** The grinders of this machine. */
export function grinderMakers(threads: number, log: Log): GrinderMakers {
  return {
    wasm: () => createWasmGrinder({ threads, background: true }),
    webgpu: () => createWebgpuGrinder({ allowSoftware: false }, log),
    js: async () => createJsGrinder(),
  };
}

/**
 * The grinder that is wanted, or, with `auto`, the fastest of those that start and hash rightly; the plain one where
 * none does. BACKEND where the wanted one cannot be had.
 */
export async function chooseGrinder(
  wanted: WantedGrinder,
  make: GrinderMakers,
  { log, hasGpu }: { log: Log; hasGpu: boolean },
): Promise<ChosenGrinder> {
  if (wanted !== 'auto') return { name: wanted, grinder: await make[wanted]() };
  const names: GrinderName[] = hasGpu ? ['wasm', 'webgpu'] : ['wasm'];
  let best: (ChosenGrinder & { readonly rate: number }) | undefined;
  for (const name of names) {
    const grinder = await make[name]().catch((error: unknown) => {
      log.info(`${name} does not hash here: ${PoolError.from(error).message}`);
    });
    if (!grinder) continue;
    const rate = await hashRate(grinder);
    const isBetter = best === undefined || rate > best.rate;
    await (isBetter ? best : { grinder })?.grinder.close();
    if (isBetter) best = { name, grinder, rate };
  }
  return best ?? { name: 'js', grinder: await make.js() };
}

/** Whether it is worth asking for one: a driver's device file, or a system where it has none. */
export async function mayHaveGpu(): Promise<boolean> {
  if (platform() !== 'linux') return true;
  const names = await Promise.all(['/dev', '/dev/dri'].map((folder) => readdir(folder).catch(() => [])));
  return names.flat().some((name) => /^(nvidia|renderD|kfd|dxg)/.test(name));
}
