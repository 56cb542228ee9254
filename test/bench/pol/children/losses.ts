import { readFile } from 'node:fs/promises';
import { devGenesis } from '#coordinator/chain/genesis/dev-genesis.ts';
import { DEV_MODEL } from '#coordinator/chain/genesis/dev-model.ts';
import { quantiseLoss } from '#shared/pol/gate.ts';
import { readShards } from '#shared/pol/windows.ts';
import { parseConfigText, tensorShapes } from '#shared/weights/model-config.ts';
import { windowLosses } from '#worker/evaluate/window-losses.ts';
import { type BackendName, startBackend } from '#worker/model/backend/start.ts';
import { Model } from '#worker/model/model.ts';
import { fromValues } from '#worker/model/weight-set.ts';

/* Evaluates weights of the development model, one file of f32 in name order, on the first public windows; micro-nats. */

const [, , backend, file, count] = process.argv as unknown as [string, string, BackendName, string, string];
const genesis = devGenesis();
const config = parseConfigText(genesis.configJson);
const bytes = await readFile(file);
const values = new Float32Array(new Uint8Array(bytes).buffer);
const tensors = new Map<string, Float32Array>();
let at = 0;
for (const [name, shape] of tensorShapes(config)) {
  const length = shape.reduce((product, size) => product * size, 1);
  tensors.set(name, values.slice(at, at + length));
  at += length;
}
const windows = readShards(genesis.publicShards, { ...DEV_MODEL, shardWindows: genesis.shardWindows });

await startBackend(backend);
const model = await Model.load(config, fromValues(tensors));
const nats = await windowLosses(model, windows.slice(0, Number(count)));
process.send?.(nats.map(quantiseLoss), () => process.exit(0));
