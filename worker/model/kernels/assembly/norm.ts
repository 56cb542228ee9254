import { dot } from './few-rows';
import { at, sumLanes } from './layout';
import { sumRows } from './pointwise';

/*
 * Layer norm (Ba et al. 2016): rows of x [rows,C] to mean 0 and variance 1, times gain plus bias [C]. RMS norm (Zhang &
 * Sennrich 2019) is the same without the mean and the bias: the addresses `means`, `bias` and `dbias` are 0 then.
 */

/** out [rows,C]; means and 1/sd [rows] are kept for the gradient. */
export function norm(
  x: usize, gain: usize, bias: usize, rows: i32, C: i32, epsilon: f32,
  out: usize, means: usize, inverseSds: usize,
): void {
  for (let row = 0; row < rows; row++) {
    const from = at(x, row * C);
    const mean: f32 = means ? sum(from, C) / <f32>C : 0;
    const inverseSd: f32 = 1 / sqrt<f32>(squares(from, mean, C) / <f32>C + epsilon);
    if (means) store<f32>(at(means, row), mean);
    store<f32>(at(inverseSds, row), inverseSd);
    normRow(from, gain, bias, mean, inverseSd, C, at(out, row * C));
  }
}

/** dx [rows,C], dgain [C] and dbias [C] from dy [rows,C]. */
export function normGrad(
  dy: usize, x: usize, gain: usize, means: usize, inverseSds: usize, rows: i32, C: i32,
  dx: usize, dgain: usize, dbias: usize,
): void {
  memory.fill(dgain, 0, (<usize>C) << 2);
  if (dbias) sumRows(dy, rows, C, dbias);
  for (let row = 0; row < rows; row++) {
    const mean: f32 = means ? load<f32>(at(means, row)) : 0;
    const inverseSd = load<f32>(at(inverseSds, row));
    gradRow(at(dy, row * C), at(x, row * C), gain, mean, inverseSd, C, at(dx, row * C), dgain, means != 0);
  }
}

/** With z the normalised row and dz = dy·gain: dx = (dz − mean(dz) − z·mean(dz·z)) / sd; not centred without mean(dz). */
function gradRow(
  dy: usize, x: usize, gain: usize, mean: f32, inverseSd: f32, C: i32,
  dx: usize, dgain: usize, centred: bool,
): void {
  const m = f32x4.splat(mean);
  const s = f32x4.splat(inverseSd);
  let lanes = f32x4.splat(0);
  let lanesZ = f32x4.splat(0);
  let j = 0;
  for (; j + 4 <= C; j += 4) {
    const d = v128.load(at(dy, j));
    const z = f32x4.mul(f32x4.sub(v128.load(at(x, j)), m), s);
    const dz = f32x4.mul(d, v128.load(at(gain, j)));
    v128.store(at(dgain, j), f32x4.add(v128.load(at(dgain, j)), f32x4.mul(d, z)));
    lanes = f32x4.add(lanes, dz);
    lanesZ = f32x4.add(lanesZ, f32x4.mul(dz, z));
  }
  let total = sumLanes(lanes);
  let totalZ = sumLanes(lanesZ);
  for (; j < C; j++) {
    const d = load<f32>(at(dy, j));
    const z = (load<f32>(at(x, j)) - mean) * inverseSd;
    const dz = d * load<f32>(at(gain, j));
    store<f32>(at(dgain, j), load<f32>(at(dgain, j)) + d * z);
    total += dz;
    totalZ += dz * z;
  }
  gradOut(dy, x, gain, mean, inverseSd, C, dx, centred ? total / <f32>C : 0, totalZ / <f32>C);
}

function gradOut(
  dy: usize, x: usize, gain: usize, mean: f32, inverseSd: f32, C: i32,
  dx: usize, meanDz: f32, meanDzZ: f32,
): void {
  const m = f32x4.splat(mean);
  const s = f32x4.splat(inverseSd);
  const flat = f32x4.splat(meanDz);
  const along = f32x4.splat(meanDzZ);
  let j = 0;
  for (; j + 4 <= C; j += 4) {
    const z = f32x4.mul(f32x4.sub(v128.load(at(x, j)), m), s);
    const dz = f32x4.mul(v128.load(at(dy, j)), v128.load(at(gain, j)));
    v128.store(at(dx, j), f32x4.mul(f32x4.sub(f32x4.sub(dz, flat), f32x4.mul(z, along)), s));
  }
  for (; j < C; j++) {
    const z = (load<f32>(at(x, j)) - mean) * inverseSd;
    const dz = load<f32>(at(dy, j)) * load<f32>(at(gain, j));
    store<f32>(at(dx, j), (dz - meanDz - z * meanDzZ) * inverseSd);
  }
}

function normRow(x: usize, gain: usize, bias: usize, mean: f32, inverseSd: f32, C: i32, out: usize): void {
  const m = f32x4.splat(mean);
  const s = f32x4.splat(inverseSd);
  let j = 0;
  for (; j + 4 <= C; j += 4) {
    const z = f32x4.mul(f32x4.sub(v128.load(at(x, j)), m), s);
    const scaled = f32x4.mul(z, v128.load(at(gain, j)));
    v128.store(at(out, j), bias ? f32x4.add(scaled, v128.load(at(bias, j))) : scaled);
  }
  for (; j < C; j++) {
    const z = (load<f32>(at(x, j)) - mean) * inverseSd;
    store<f32>(at(out, j), z * load<f32>(at(gain, j)) + (bias ? load<f32>(at(bias, j)) : 0));
  }
}

function sum(x: usize, count: i32): f32 {
  let lanes = f32x4.splat(0);
  let j = 0;
  for (; j + 4 <= count; j += 4) lanes = f32x4.add(lanes, v128.load(at(x, j)));
  let total = sumLanes(lanes);
  for (; j < count; j++) total += load<f32>(at(x, j));
  return total;
}

/** Σ (x − mean)²: a second pass, since E[x²] − mean² cancels. */
function squares(x: usize, mean: f32, count: i32): f32 {
  const m = f32x4.splat(mean);
  let lanes = f32x4.splat(0);
  let j = 0;
  for (; j + 4 <= count; j += 4) {
    const d = f32x4.sub(v128.load(at(x, j)), m);
    lanes = f32x4.add(lanes, f32x4.mul(d, d));
  }
  let total = sumLanes(lanes);
  for (; j < count; j++) total += (load<f32>(at(x, j)) - mean) * (load<f32>(at(x, j)) - mean);
  return total;
}

/** Σ x², in float64. */
export function sumOfSquares(x: usize, count: i32): f64 {
  let total: f64 = 0;
  // Pieces short enough that float32 lanes lose nothing that a norm would show.
  for (let i = 0; i < count; i += 1024) total += <f64>dot(at(x, i), at(x, i), min(1024, count - i));
  return total;
}
