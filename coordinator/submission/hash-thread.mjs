// SHA-256 of many streams, off the main thread. Blocks lie in shared memory; each message is answered in its order.
import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

const open = new Map();

parentPort.on('message', ({ stream, block, end }) => {
  if (block) {
    if (!open.has(stream)) open.set(stream, createHash('sha256'));
    open.get(stream).update(block);
    parentPort.postMessage('');
    return;
  }
  parentPort.postMessage(end ? (open.get(stream) ?? createHash('sha256')).digest('hex') : '');
  open.delete(stream);
});
