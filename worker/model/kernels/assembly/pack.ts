import { at } from './layout';

/*
 * Blocks of a matrix are copied into panels before they are multiplied: for each depth p, `width` values
 * side by side (4 rows of a, or 8 columns of b). Lanes beyond the matrix are 0.
 */

/** Lanes lie side by side in memory: source[p·stride + lane]. */
export function packAlong(source: usize, stride: i32, lanes: i32, width: i32, depth: i32, out: usize): void {
  const step: usize = (<usize>width) << 2;
  if (lanes == width) {
    for (let p = 0; p < depth; p++) {
      const row = at(source, p * stride);
      v128.store(out, v128.load(row));
      if (width == 8) v128.store(out, v128.load(row, 16), 16);
      out += step;
    }
    return;
  }
  for (let p = 0; p < depth; p++) {
    const row = at(source, p * stride);
    for (let lane = 0; lane < width; lane++) {
      store<f32>(at(out, lane), lane < lanes ? load<f32>(at(row, lane)) : 0);
    }
    out += step;
  }
}

/** Depth lies side by side in memory: source[lane·stride + p]. */
export function packAcross(source: usize, stride: i32, lanes: i32, width: i32, depth: i32, out: usize): void {
  for (let lane = 0; lane < width; lane += 4) {
    if (lane + 4 <= lanes) packFour(at(source, lane * stride), stride, width, depth, at(out, lane));
    else packEdge(at(source, lane * stride), stride, lanes - lane, width, depth, at(out, lane));
  }
}

/** Four lanes, transposed four depths at a time. */
function packFour(source: usize, stride: i32, width: i32, depth: i32, out: usize): void {
  const step: usize = (<usize>width) << 2;
  const line: usize = (<usize>stride) << 2;
  let p = 0;
  for (; p + 4 <= depth; p += 4) {
    const r0 = v128.load(source);
    const r1 = v128.load(source + line);
    const r2 = v128.load(source + line * 2);
    const r3 = v128.load(source + line * 3);
    const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
    const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
    const high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
    const high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
    v128.store(out, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5));
    v128.store(out + step, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7));
    v128.store(out + step * 2, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5));
    v128.store(out + step * 3, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7));
    source += 16;
    out += step * 4;
  }
  if (p < depth) packEdge(source, stride, 4, width, depth - p, out);
}

/** Up to four lanes, one value at a time. */
function packEdge(source: usize, stride: i32, lanes: i32, width: i32, depth: i32, out: usize): void {
  for (let p = 0; p < depth; p++) {
    for (let lane = 0; lane < 4; lane++) {
      store<f32>(at(out, p * width + lane), lane < lanes ? load<f32>(at(source, lane * stride + p)) : 0);
    }
  }
}
