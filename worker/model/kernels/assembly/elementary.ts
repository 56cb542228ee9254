const LOG2_E: f32 = 1.4426950408889634;
/** ln 2 in two parts: the first has few bits, so that n·high is exact for every n of a float32's exponent. */
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.12194440054690583e-4;

/** 1.5·2²³: adding it leaves a number rounded to whole in the low bits. Cheaper than nearest and trunc_sat. */
const ROUNDER: f32 = 12582912;

/**
 * eˣ of four values: x = n·ln 2 + r with |r| ≤ ln 2 / 2, Taylor's series of eʳ to r⁷ (error below half a
 * unit in the last place), times 2ⁿ. x is clamped to −87…88. NaN stays NaN: the last step multiplies, since
 * adding n to the exponent bits could make a number of it.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const clamped = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87)), f32x4.splat(88));
  const rounded = f32x4.add(f32x4.mul(clamped, f32x4.splat(LOG2_E)), f32x4.splat(ROUNDER));
  const n = f32x4.sub(rounded, f32x4.splat(ROUNDER));
  let r = f32x4.sub(clamped, f32x4.mul(n, f32x4.splat(LN2_HIGH)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(LN2_LOW)));
  const r2 = f32x4.mul(r, r);
  // Pairs of terms do not wait for one another, unlike Horner's rule.
  const low = f32x4.add(f32x4.splat(1), r);
  const middle = f32x4.add(f32x4.splat(0.5), f32x4.mul(r, f32x4.splat(1.0 / 6)));
  const high = f32x4.add(f32x4.splat(1.0 / 24), f32x4.mul(r, f32x4.splat(1.0 / 120)));
  const top = f32x4.add(f32x4.splat(1.0 / 720), f32x4.mul(r, f32x4.splat(1.0 / 5040)));
  const upper = f32x4.add(high, f32x4.mul(r2, top));
  const series = f32x4.add(low, f32x4.mul(r2, f32x4.add(middle, f32x4.mul(r2, upper))));
  const power = i32x4.shl(i32x4.add(rounded, i32x4.splat(127)), 23);
  return f32x4.mul(series, power);
}

/** eˣ of one value, by the same steps. */
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

/**
 * Natural logarithm of a positive number: x = m·2ⁿ with m within √½…√2, and ln m = 2·artanh((m−1)/(m+1))
 * by its series to the 15th power (error below 1e-13). Anything that is not positive and finite comes back as it is.
 */
export function ln(x: f64): f64 {
  if (!(x > 0) || x == Infinity) return x;
  const bits = reinterpret<u64>(x);
  let n = <i32>(bits >> 52) - 1023;
  let m = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    n += 1;
  }
  const s = (m - 1) / (m + 1);
  const s2 = s * s;
  let sum: f64 = 1.0 / 15;
  for (let power: f64 = 13; power > 0; power -= 2) sum = sum * s2 + 1.0 / power;
  return 2 * s * sum + <f64>n * 0.6931471805599453;
}
