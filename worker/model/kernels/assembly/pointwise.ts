import { exp1, exp4 } from './elementary';
import { at, sumLanes } from './layout';

/** 2·√(2/π) and the cubic's factor: gelu(x) = x·σ(A·(x + B·x³)), the tanh form (Hendrycks & Gimpel 2016). */
const A: f32 = 1.5957691216057308;
const B: f32 = 0.044715;

export function gelu(x: usize, out: usize, count: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) v128.store(at(out, i), gelu4(v128.load(at(x, i))));
  for (; i < count; i++) store<f32>(at(out, i), f32x4.extract_lane(gelu4(v128.load32_splat(at(x, i))), 0));
}

export function geluGrad(dy: usize, x: usize, out: usize, count: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    v128.store(at(out, i), f32x4.mul(v128.load(at(dy, i)), slope4(v128.load(at(x, i)))));
  }
  for (; i < count; i++) {
    store<f32>(at(out, i), load<f32>(at(dy, i)) * f32x4.extract_lane(slope4(v128.load32_splat(at(x, i))), 0));
  }
}

// @ts-ignore: decorator
@inline
function sigma4(x: v128, square: v128): v128 {
  const cubic = f32x4.add(f32x4.splat(1), f32x4.mul(f32x4.splat(B), square));
  const u = f32x4.mul(f32x4.mul(f32x4.splat(-A), x), cubic);
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(u)));
}

// @ts-ignore: decorator
@inline
function gelu4(x: v128): v128 {
  return f32x4.mul(x, sigma4(x, f32x4.mul(x, x)));
}

/** σ + x·σ·(1 − σ)·A·(1 + 3·B·x²) */
// @ts-ignore: decorator
@inline
function slope4(x: v128): v128 {
  const square = f32x4.mul(x, x);
  const s = sigma4(x, square);
  const inner = f32x4.mul(f32x4.splat(A), f32x4.add(f32x4.splat(1), f32x4.mul(f32x4.splat(3 * B), square)));
  const bend = f32x4.mul(f32x4.mul(x, inner), f32x4.sub(f32x4.splat(1), s));
  return f32x4.mul(s, f32x4.add(f32x4.splat(1), bend));
}

/** out [columns] = sums over the rows of x [rows,columns] */
export function sumRows(x: usize, rows: i32, columns: i32, out: usize): void {
  memory.fill(out, 0, (<usize>columns) << 2);
  for (let row = 0; row < rows; row++) addTo(out, at(x, row * columns), columns);
}

/** y += x */
export function addTo(y: usize, x: usize, count: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) v128.store(at(y, i), f32x4.add(v128.load(at(y, i)), v128.load(at(x, i))));
  for (; i < count; i++) store<f32>(at(y, i), load<f32>(at(y, i)) + load<f32>(at(x, i)));
}

/** x [count] becomes e^(x·scale − shift); returns the sum, in float32 lanes. */
export function expRow(x: usize, count: i32, scale: f32, shift: f32): f32 {
  const s = f32x4.splat(scale);
  const t = f32x4.splat(shift);
  let lanes = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const e = exp4(f32x4.sub(f32x4.mul(v128.load(at(x, i)), s), t));
    v128.store(at(x, i), e);
    lanes = f32x4.add(lanes, e);
  }
  let sum: f32 = 0;
  for (; i < count; i++) {
    const e = exp1(load<f32>(at(x, i)) * scale - shift);
    store<f32>(at(x, i), e);
    sum += e;
  }
  return sum + sumLanes(lanes);
}

/** Σ e^(x − shift) over count values, in float32 lanes. */
export function expSum(x: usize, count: i32, shift: f32): f32 {
  const t = f32x4.splat(shift);
  let even = f32x4.splat(0);
  let odd = f32x4.splat(0);
  let i = 0;
  for (; i + 8 <= count; i += 8) {
    even = f32x4.add(even, exp4(f32x4.sub(v128.load(at(x, i)), t)));
    odd = f32x4.add(odd, exp4(f32x4.sub(v128.load(at(x, i), 16), t)));
  }
  let sum: f32 = sumLanes(f32x4.add(even, odd));
  for (; i < count; i++) sum += exp1(load<f32>(at(x, i)) - shift);
  return sum;
}

/** The largest of count values; NaN is passed over (what uses the peak meets it again in the values). */
export function maxRow(x: usize, count: i32): f32 {
  let lanes = f32x4.splat(-Infinity);
  let i = 0;
  for (; i + 4 <= count; i += 4) lanes = f32x4.pmax(lanes, v128.load(at(x, i)));
  for (; i < count; i++) lanes = f32x4.pmax(lanes, v128.load32_splat(at(x, i)));
  const pairs = f32x4.pmax(lanes, v128.shuffle<f32>(lanes, lanes, 2, 3, 0, 1));
  return max<f32>(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

export function scaleRow(x: usize, count: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  let i = 0;
  for (; i + 4 <= count; i += 4) v128.store(at(x, i), f32x4.mul(v128.load(at(x, i)), f));
  for (; i < count; i++) store<f32>(at(x, i), load<f32>(at(x, i)) * factor);
}

export function copy(from: usize, to: usize, count: i32): void {
  memory.copy(to, from, (<usize>count) << 2);
}

/** out [rows,columns] = the columns from `start` on of x [rows,width] */
export function copyColumns(x: usize, rows: i32, width: i32, start: i32, columns: i32, out: usize): void {
  for (let row = 0; row < rows; row++) {
    memory.copy(at(out, row * columns), at(x, row * width + start), (<usize>columns) << 2);
  }
}
