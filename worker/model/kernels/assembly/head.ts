import { exp1, ln } from './elementary';
import { at, OWN } from './layout';
import { ADD, matmul, SET } from './matmul';
import { expRow, expSum, maxRow, scaleRow } from './pointwise';

/*
 * Cross-entropy of the logits h [n,C] · head [V,C]ᵀ against labels [n]. Of the n·V logits there are never more
 * than a block in memory.
 */

/** Rows at a time: enough to repay the packing of the head. */
const ROWS: i32 = 256;
/** Columns of logits that are summed at a time; a block of them (512 KiB) stays in the second cache. */
const COLUMNS: i32 = 512;
/** Bytes of the logits of some rows where their gradients are wanted too. */
const LOGITS: i32 = 33554432;

/** Bytes of scratch for `headLosses`, besides `scratchBytes`. */
export function lossScratchBytes(): usize {
  return <usize>(ROWS * COLUMNS + 4 * ROWS) * 4;
}

/** Bytes of scratch for `headMeanLoss` with a vocabulary of V, besides `scratchBytes`. */
export function gradScratchBytes(V: i32): usize {
  return <usize>gradRows(V) * <usize>V * 4;
}

function gradRows(V: i32): i32 {
  return max(16, min(ROWS, LOGITS / 4 / V));
}

/** losses [n] in nats */
export function headLosses(
  h: usize, head: usize, labels: usize, n: i32, C: i32, V: i32, losses: usize, scratch: usize,
): void {
  for (let i = 0; i < n; i += ROWS) {
    rowLosses(at(h, i * C), head, at(labels, i), min(ROWS, n - i), C, V, at(losses, i), scratch);
  }
}

/** Up to ROWS rows, whose sums of exponents grow block by block, each against the row's peak so far. */
function rowLosses(
  h: usize, head: usize, labels: usize, rows: i32, C: i32, V: i32, losses: usize, scratch: usize,
): void {
  const logits = scratch + OWN;
  const sums = at(logits, ROWS * COLUMNS); // float64: many small blocks must not be lost beside their sum
  const peaks = sums + <usize>(ROWS * 8);
  const owns = at(peaks, ROWS);
  for (let row = 0; row < rows; row++) {
    store<f32>(at(peaks, row), -Infinity);
    store<f64>(sums + <usize>(row * 8), 0);
  }
  for (let j = 0; j < V; j += COLUMNS) {
    const columns = min(COLUMNS, V - j);
    matmul(rows, columns, C, h, C, 0, at(head, j * C), C, 1, logits, columns, SET, 0, scratch);
    for (let row = 0; row < rows; row++) {
      const x = at(logits, row * columns);
      const label = load<i32>(at(labels, row)) - j;
      if (label >= 0 && label < columns) store<f32>(at(owns, row), load<f32>(at(x, label)));
      const before = load<f32>(at(peaks, row));
      const peak = max<f32>(before, maxRow(x, columns));
      const place = sums + <usize>(row * 8);
      store<f32>(at(peaks, row), peak);
      store<f64>(place, load<f64>(place) * <f64>exp1(before - peak) + <f64>expSum(x, columns, peak));
    }
  }
  for (let row = 0; row < rows; row++) {
    const peak = <f64>load<f32>(at(peaks, row));
    const sum = load<f64>(sums + <usize>(row * 8));
    store<f32>(at(losses, row), <f32>(ln(sum) + peak - <f64>load<f32>(at(owns, row))));
  }
}

/** The mean loss [1], and its gradients dh [n,C] and dhead [V,C] */
export function headMeanLoss(
  h: usize, head: usize, labels: usize, n: i32, C: i32, V: i32,
  loss: usize, dh: usize, dhead: usize, scratch: usize,
): void {
  const logits = scratch + OWN;
  const atOnce = gradRows(V);
  let total: f64 = 0;
  for (let i = 0; i < n; i += atOnce) {
    const rows = min(atOnce, n - i);
    matmul(rows, V, C, at(h, i * C), C, 0, head, C, 1, logits, V, SET, 0, scratch);
    for (let row = 0; row < rows; row++) {
      total += gradRow(at(logits, row * V), V, load<i32>(at(labels, i + row)), 1 / <f32>n);
    }
    matmul(rows, C, V, logits, V, 0, head, C, 0, at(dh, i * C), C, SET, 0, scratch);
    matmul(V, C, rows, logits, V, 1, at(h, i * C), C, 0, dhead, C, i == 0 ? SET : ADD, 0, scratch);
  }
  store<f32>(loss, <f32>(total / <f64>n));
}

/** The logits become (softmax − one at the label)·share; returns the loss. */
function gradRow(x: usize, V: i32, label: i32, share: f32): f64 {
  const own = load<f32>(at(x, label));
  const peak = maxRow(x, V);
  let sum: f64 = 0;
  for (let j = 0; j < V; j += COLUMNS) sum += <f64>expRow(at(x, j), min(COLUMNS, V - j), 1, peak);
  scaleRow(x, V, share / <f32>sum);
  store<f32>(at(x, label), load<f32>(at(x, label)) - share);
  return ln(sum) + <f64>peak - <f64>own;
}
