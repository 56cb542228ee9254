// The thread in which a model's tokenizer and chat template run. Plain JavaScript, since a worker thread does not
// inherit the TypeScript loader; what it does is in text-work.ts.
import { parentPort } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

register();
const { TextWork } = await import('./text-work.ts');
const { PoolError } = await import('../../shared/errors/pool-error.ts');

const work = new TextWork();
parentPort.on('message', (request) => {
  try {
    parentPort.postMessage({ result: work.answer(request) });
  } catch (error) {
    parentPort.postMessage({ error: PoolError.from(error).toObject() });
  }
});
