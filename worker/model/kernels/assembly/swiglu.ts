import { exp4 } from './elementary';
import { at } from './layout';

/* silu(gate)·up with silu(x) = x·σ(x) (Shazeer 2020). Both work on whole vectors and then on single values. */

export function swiglu(gate: usize, up: usize, out: usize, count: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const g = v128.load(at(gate, i));
    v128.store(at(out, i), f32x4.mul(f32x4.mul(g, sigma4(g)), v128.load(at(up, i))));
  }
  for (; i < count; i++) {
    const g = load<f32>(at(gate, i));
    store<f32>(at(out, i), g * sigma(g) * load<f32>(at(up, i)));
  }
}

/** dgate = dy·up·σ·(1 + gate·(1 − σ)) and dup = dy·gate·σ */
export function swigluGrad(dy: usize, gate: usize, up: usize, dgate: usize, dup: usize, count: i32): void {
  const one = f32x4.splat(1);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const g = v128.load(at(gate, i));
    const s = sigma4(g);
    const d = f32x4.mul(v128.load(at(dy, i)), s);
    const bend = f32x4.add(one, f32x4.mul(g, f32x4.sub(one, s)));
    v128.store(at(dgate, i), f32x4.mul(f32x4.mul(d, v128.load(at(up, i))), bend));
    v128.store(at(dup, i), f32x4.mul(d, g));
  }
  for (; i < count; i++) {
    const g = load<f32>(at(gate, i));
    const s = sigma(g);
    const d = load<f32>(at(dy, i)) * s;
    store<f32>(at(dgate, i), d * load<f32>(at(up, i)) * (1 + g * (1 - s)));
    store<f32>(at(dup, i), d * g);
  }
}

// @ts-ignore: decorator
@inline
function sigma4(x: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

// @ts-ignore: decorator
@inline
function sigma(x: f32): f32 {
  return f32x4.extract_lane(sigma4(f32x4.splat(x)), 0);
}
