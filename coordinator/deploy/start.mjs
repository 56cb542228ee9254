// `npm start`: sets the checkout up, then runs the whole pool. In this same process, so that a signal reaches
// the pool once and directly, and nothing can be left behind.
import { launch } from '../cli/aiblock.mjs';
import { reportAndExit, setup } from './setup.mjs';

try {
  await setup({ for: 'start' });
} catch (error) {
  reportAndExit(error);
}
await launch(['up', ...process.argv.slice(2)]);
