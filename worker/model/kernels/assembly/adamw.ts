import { at } from './layout';

/**
 * One AdamW step in place (Loshchilov & Hutter 2019): `rate` and `root` carry the bias corrections,
 * rate = learningRate / correction1 and root = 1 / √correction2; keep = 1 − learningRate·weightDecay.
 */
export function adamW(
  w: usize, m: usize, v: usize, g: usize, count: i32,
  beta1: f32, beta2: f32, epsilon: f32, rate: f32, root: f32, keep: f32, gradientScale: f32,
): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const gradient = f32x4.mul(v128.load(at(g, i)), f32x4.splat(gradientScale));
    const m1 = f32x4.add(f32x4.mul(v128.load(at(m, i)), f32x4.splat(beta1)), f32x4.mul(gradient, f32x4.splat(1 - beta1)));
    const square = f32x4.mul(gradient, gradient);
    const v1 = f32x4.add(f32x4.mul(v128.load(at(v, i)), f32x4.splat(beta2)), f32x4.mul(square, f32x4.splat(1 - beta2)));
    const size = f32x4.add(f32x4.mul(f32x4.sqrt(v1), f32x4.splat(root)), f32x4.splat(epsilon));
    const move = f32x4.div(f32x4.mul(m1, f32x4.splat(rate)), size);
    v128.store(at(m, i), m1);
    v128.store(at(v, i), v1);
    v128.store(at(w, i), f32x4.sub(f32x4.mul(v128.load(at(w, i)), f32x4.splat(keep)), move));
  }
  for (; i < count; i++) {
    const gradient = load<f32>(at(g, i)) * gradientScale;
    const m1 = load<f32>(at(m, i)) * beta1 + gradient * (1 - beta1);
    const v1 = load<f32>(at(v, i)) * beta2 + gradient * gradient * (1 - beta2);
    store<f32>(at(m, i), m1);
    store<f32>(at(v, i), v1);
    store<f32>(at(w, i), load<f32>(at(w, i)) * keep - (m1 * rate) / (sqrt<f32>(v1) * root + epsilon));
  }
}
