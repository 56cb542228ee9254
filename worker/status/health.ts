import type { WorkerHealth } from '#shared/protocol/capabilities.ts';
import { type GpuState, readGpus } from '#worker/devices.ts';
import type { Tally } from '#worker/status/tally.ts';

/** The driver's tool takes a tenth of a second of a core. */
const GPU_POLL_MS = 10_000;
const MAX_TROUBLE_CHARS = 200;

/** What a heartbeat tells the pool about the machine: its GPUs now, and the last trouble. */
export class Health {
  readonly #tally: Pick<Tally, 'trouble'>;
  readonly #now: () => number;
  #gpus: readonly GpuState[] = [];
  #timer: NodeJS.Timeout | undefined;

  private constructor(tally: Pick<Tally, 'trouble'>, now: () => number) {
    this.#tally = tally;
    this.#now = now;
  }

  /** Looks for GPUs now, and after that only where there are some. */
  static async start(tally: Pick<Tally, 'trouble'>, now: () => number, read = readGpus): Promise<Health> {
    const health = new Health(tally, now);
    health.#gpus = await read();
    const poll = async () => {
      health.#gpus = await read();
    };
    if (health.#gpus.length > 0) health.#timer = setInterval(() => void poll(), GPU_POLL_MS).unref();
    return health;
  }

  /** Undefined where there is nothing to tell. */
  get(): WorkerHealth | undefined {
    const { trouble } = this.#tally;
    if (this.#gpus.length === 0 && !trouble) return undefined;
    return {
      gpus: this.#gpus.map(({ utilisation, celsius, memoryUsedBytes }) => ({
        ...(utilisation !== undefined && { utilisation }),
        ...(celsius !== undefined && { celsius }),
        ...(memoryUsedBytes !== undefined && { memoryUsedBytes }),
      })),
      // An age, since the clocks of worker and pool may differ.
      ...(trouble && {
        trouble: {
          agoMs: Math.max(0, this.#now() - trouble.at),
          message: trouble.message.replaceAll(/\p{C}+/gu, ' ').slice(0, MAX_TROUBLE_CHARS),
        },
      }),
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
