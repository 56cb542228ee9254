// Makes a checkout ready to run: packages, Redis, build. Nothing but Node and npm is needed to begin.
import { build } from './build.mjs';
import { installPackages } from './packages.mjs';
import { isProgram, SetupError } from './step.mjs';
import { installTools } from './system-tools.mjs';

const NODE_MINIMUM = [20, 19];

const NO_REDIS = `Redis is needed, and there is no redis-server here. Three ways on:
  1. install it: \`sudo apt-get install redis-server\`, \`sudo dnf install redis\`, \`brew install redis\`, …
  2. use one that runs already: \`REDIS_URL=redis://host:6379 npm start\`
  3. run the whole pool in containers: \`docker compose up\``;

/**
 * Sets up for `npm start` ('start') or `npm test` ('test'); quick where everything is there. Returns the tools
 * that the tests would use and that cannot be had, with the reason. Throws SetupError with a message for
 * people.
 */
export async function setup({ for: purpose }) {
  checkNode();
  await installPackages();
  const redis = process.env.REDIS_URL && purpose === 'start' ? [] : ['redis-server'];
  const others = purpose === 'test' ? ['chromium', 'prometheus'] : [];
  const missing = await installTools([...redis, ...others]);
  if (purpose === 'start' && missing.length > 0) {
    throw new SetupError(`${NO_REDIS}\n(${missing.map(({ why }) => why).join('; ')})`);
  }
  await build();
  return missing;
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [wantedMajor, wantedMinor] = NODE_MINIMUM;
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return;
  throw new SetupError(
    `Node ${NODE_MINIMUM.join('.')} or newer is needed, this is ${process.versions.node} (${process.execPath}).`,
  );
}

/** For the end of a script: a SetupError in words, anything else as the fault it is; exit code 1. */
export function reportAndExit(error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exit(1);
}

if (isProgram(import.meta.url)) {
  const purpose = process.argv[2] ?? 'start';
  try {
    if (purpose !== 'start' && purpose !== 'test') throw new SetupError('usage: setup.mjs [start|test]');
    for (const { name, why } of await setup({ for: purpose })) console.log(`set-up: no ${name}: ${why}`);
  } catch (error) {
    reportAndExit(error);
  }
}
