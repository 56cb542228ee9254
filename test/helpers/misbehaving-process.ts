import { PoolError } from '#shared/errors/pool-error.ts';
import { serve } from '#worker/process/serve.ts';

/* A computing process that does what weights of strangers may make one do. */

const PIECE_BYTES = 16 * 2 ** 20;

const kept: Buffer[] = [];
const answers: Readonly<Record<string, () => Promise<unknown>>> = {
  pid: async () => process.pid,
  refuse: async () => {
    throw new PoolError('LOSS_NOT_FINITE', 'as it was asked to');
  },
  /** Memory outside of V8, as weights are. */
  eat: async () => {
    for (;;) {
      kept.push(Buffer.alloc(PIECE_BYTES, 1));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  },
  /** V8's own memory. */
  collect: async () => {
    const all: string[][] = [];
    for (;;) all.push(Array.from({ length: 100_000 }, (_, i) => `${all.length} ${i}`));
  },
  loop: async () => {
    for (;;);
  },
  exit: async () => process.exit(3),
};

serve(process, async (request) => {
  const answer = answers[String(request)];
  if (!answer) throw new PoolError('BAD_REQUEST', 'unknown');
  return answer();
});
