// One hashing thread of the WebAssembly grinder. Plain JavaScript, since a worker thread does not inherit the
// TypeScript loader. `layout` and the meaning of what is shared are in wasm-grinder.ts.
import { createHash } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';

const HEADER_BYTES = 264;
const NONCE_OFFSET = 256;
const LOWEST_PRIORITY = 19;
/** Nonces per claim: 2 to 20 ms of hashing, the time it takes to notice a pause or an abort. */
const SLICE = 1 << 14;

const { bytes, shared, layout, background } = workerData;
if (background) stepBack();
const flags = new Int32Array(shared, 0, 1);
const offsets = new BigUint64Array(shared);
if (!WebAssembly.validate(bytes)) throw new Error('this Node runs no WebAssembly SIMD');
const { exports: wasm } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
const header = new Uint8Array(wasm.memory.buffer, wasm.header.value, HEADER_BYTES);
const headerView = new DataView(wasm.memory.buffer, wasm.header.value, HEADER_BYTES);

/** The lowest priority for this thread alone: Linux knows it by a number of its own. Elsewhere it stays as it is. */
function stepBack() {
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), LOWEST_PRIORITY);
  } catch {
    // Another system, or one that does not let us: then it only pauses where it is asked to.
  }
}

/** Claims and searches slices until none is left below the best find. Returns the hashes computed. */
function grind(job) {
  header.set(job.header);
  const search = searcher(job);
  let hashes = 0;
  while (mayGoOn()) {
    const from = Atomics.add(offsets, layout.next, BigInt(SLICE));
    if (from >= job.count || from >= Atomics.load(offsets, layout.best)) break;
    const left = job.count - from;
    const length = left < SLICE ? Number(left) : SLICE;
    const found = search(job.start + from, length);
    hashes += found < 0 ? length : found + 1;
    if (found >= 0) keepLowest(from + BigInt(found));
  }
  return BigInt(hashes);
}

function mayGoOn() {
  while (Atomics.load(flags, layout.flags) === layout.paused)
    Atomics.wait(flags, layout.flags, layout.paused);
  return (Atomics.load(flags, layout.flags) & layout.cancelled) === 0;
}

function keepLowest(offset) {
  for (;;) {
    const best = Atomics.load(offsets, layout.best);
    if (offset >= best || Atomics.compareExchange(offsets, layout.best, best, offset) === best) return;
  }
}

/**
 * A function (start, length) → index of the first nonce that meets the target, or -1. On the way it reports every
 * nonce that meets the easier target of shares, where there is one.
 */
function searcher({ target, shareTarget = target }) {
  const limit = Number(shareTarget >> 224n);
  const [targetBytes, shareBytes] = [target, shareTarget].map((number) =>
    Buffer.from(number.toString(16).padStart(64, '0'), 'hex'),
  );
  const isSharing = shareTarget !== target;
  let preparedHigh = -1;

  function searchHalf(high, low, length) {
    if (high !== preparedHigh) {
      headerView.setUint32(NONCE_OFFSET, high);
      wasm.prepare();
      preparedHigh = high;
    }
    const groups = Math.ceil(length / 4);
    for (let group = 0; group < groups; group++) {
      const hit = wasm.search(low + 4 * group, groups - group, limit);
      if (hit < 0) return -1;
      group += hit;
      const index = firstLane(high, low, 4 * group, length);
      if (index >= 0) return index;
    }
    return -1;
  }

  /** The module compares one word of four hashes; which of them meets the whole target is settled here. */
  function firstLane(high, low, from, length) {
    for (let index = from; index < Math.min(from + 4, length); index++) {
      headerView.setUint32(NONCE_OFFSET + 4, low + index);
      const hash = createHash('sha256').update(header).digest();
      if (hash.compare(shareBytes) > 0) continue;
      if (isSharing) parentPort.postMessage({ share: (BigInt(high) << 32n) + BigInt(low + index) });
      if (hash.compare(targetBytes) <= 0) return index;
    }
    return -1;
  }

  // Only the low half of the nonce varies inside the module, so a range that crosses 2^32 is cut there.
  return (start, length) => {
    const high = Number(start >> 32n);
    const low = Number(start & 0xffff_ffffn);
    const below = Math.min(length, 2 ** 32 - low);
    const index = searchHalf(high, low, below);
    if (index >= 0 || below === length) return index;
    const above = searchHalf(high + 1, 0, length - below);
    return above < 0 ? -1 : below + above;
  };
}

parentPort.on('message', (job) => parentPort.postMessage(grind(job)));
parentPort.postMessage('ready');
