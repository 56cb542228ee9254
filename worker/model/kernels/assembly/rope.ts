import { at } from './layout';

/**
 * Rotary positions (Su et al. 2021): in each head of x [rows,heads·2·half], value i and value i + half turn by the
 * angle whose cosine and sine stand in [rows,half]. direction −1 turns back.
 */
export function rope(
  x: usize, cos: usize, sin: usize, rows: i32, heads: i32, half: i32, direction: f32, out: usize,
): void {
  const sign = f32x4.splat(direction);
  for (let row = 0; row < rows; row++) {
    const c = at(cos, row * half);
    const s = at(sin, row * half);
    for (let h = 0; h < heads; h++) {
      const place = (row * heads + h) * 2 * half;
      const left = at(x, place), right = at(left, half);
      const toLeft = at(out, place), toRight = at(toLeft, half);
      let i = 0;
      for (; i + 4 <= half; i += 4) {
        const a = v128.load(at(left, i)), b = v128.load(at(right, i));
        const u = v128.load(at(c, i)), w = f32x4.mul(v128.load(at(s, i)), sign);
        v128.store(at(toLeft, i), f32x4.sub(f32x4.mul(a, u), f32x4.mul(b, w)));
        v128.store(at(toRight, i), f32x4.add(f32x4.mul(b, u), f32x4.mul(a, w)));
      }
      for (; i < half; i++) {
        const a = load<f32>(at(left, i)), b = load<f32>(at(right, i));
        const u = load<f32>(at(c, i)), w = load<f32>(at(s, i)) * direction;
        store<f32>(at(toLeft, i), a * u - b * w);
        store<f32>(at(toRight, i), b * u + a * w);
      }
    }
  }
}
