import { at } from './layout';
import { addTo } from './pointwise';

/** out [n,C] = tokens[ids] + positions[start + row mod time] */
export function embed(
  ids: usize, tokens: usize, positions: usize, n: i32, time: i32, start: i32, C: i32, out: usize,
): void {
  for (let row = 0; row < n; row++) {
    const to = at(out, row * C);
    memory.copy(to, at(tokens, load<i32>(at(ids, row)) * C), (<usize>C) << 2);
    addTo(to, at(positions, (start + (row % time)) * C), C);
  }
}

/** dtokens [V,C] and dpositions [T,C] from dy [n,C]; a token seen twice gets both gradients */
export function embedGrad(
  dy: usize, ids: usize, n: i32, time: i32, C: i32, V: i32, T: i32, dtokens: usize, dpositions: usize,
): void {
  memory.fill(dtokens, 0, (<usize>(V * C)) << 2);
  memory.fill(dpositions, 0, (<usize>(T * C)) << 2);
  for (let row = 0; row < n; row++) {
    addTo(at(dtokens, load<i32>(at(ids, row)) * C), at(dy, row * C), C);
    addTo(at(dpositions, (row % time) * C), at(dy, row * C), C);
  }
}
