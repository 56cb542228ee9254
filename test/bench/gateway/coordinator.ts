import process from 'node:process';
import { EVALUATION_DEFAULTS } from '#coordinator/evaluation/evaluation.ts';
import { createLog } from '#coordinator/log.ts';
import { MINING_DEFAULTS } from '#coordinator/mining/options.ts';
import { startCoordinator } from '#coordinator/node.ts';
import { coordinatorOptions } from '#coordinator/options.ts';
import { parseEnvironment } from '#shared/env.ts';
import { TOKEN } from '#test/helpers/test-coordinator.ts';

/** A share takes so many hashes, at whatever rate they come: the driver's two cores are not what is measured. */
const DIFFICULTY = 16n;

/** A coordinator as it is, but for the difficulty of shares: `dataDir port redisUrl?` on the command line. */
const [dataDir = '', port = '0', redisUrl] = process.argv.slice(2);
const log = createLog('warn', (line) => process.stderr.write(line));
const vardiff = { ...MINING_DEFAULTS.vardiff, easiest: DIFFICULTY, hardest: DIFFICULTY };
const running = await startCoordinator(
  coordinatorOptions(parseEnvironment({}), {
    ...{ dataDir, port: Number(port), workerToken: TOKEN },
    ...(redisUrl === undefined ? {} : { redisUrl }),
    mining: { ...MINING_DEFAULTS, vardiff, probeMs: 0 },
    evaluation: { ...EVALUATION_DEFAULTS, tickMs: 200 },
  }),
  log,
);
process.stdout.write(`${JSON.stringify({ url: running.url })}\n`);
const stop = () => void running.close().then(() => process.exit());
process.on('SIGTERM', stop);
process.on('disconnect', stop);
