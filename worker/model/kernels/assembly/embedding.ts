import { at } from './layout';
import { addTo } from './pointwise';

/** Rows ids [n] of table [·,C] → out [n,C]. The caller has checked the ids. */
export function gather(table: usize, ids: usize, n: i32, C: i32, out: usize): void {
  for (let row = 0; row < n; row++) {
    memory.copy(at(out, row * C), at(table, load<i32>(at(ids, row)) * C), (<usize>C) << 2);
  }
}

/** The gradient of `gather`: dy [n,C] added up in the rows ids [n] of out [rows,C], which begins as 0. */
export function scatterAdd(dy: usize, ids: usize, n: i32, C: i32, rows: i32, out: usize): void {
  memory.fill(out, 0, (<usize>(rows * C)) << 2);
  for (let row = 0; row < n; row++) addTo(at(out, load<i32>(at(ids, row)) * C), at(dy, row * C), C);
}
