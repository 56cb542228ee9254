import { ln } from './elementary';
import { at, OWN } from './layout';
import { ADD, gemm, SET } from './matmul';
import { expRow, maxRow, scaleRow } from './pointwise';

/*
 * Cross-entropy of the logits h [n,C] · head [V,C]ᵀ against labels [n], a few rows at a time, so that
 * n·V logits never exist together.
 */

/** Rows of logits at a time: enough to repay the packing of the head. */
const ROWS: i32 = 128;

/** Bytes of scratch for a vocabulary of V, besides `scratchBytes`. */
export function headScratchBytes(V: i32): usize {
  return <usize>ROWS * <usize>V * 4;
}

/** losses [n] in nats */
export function headLosses(
  h: usize, head: usize, labels: usize, n: i32, C: i32, V: i32, losses: usize, scratch: usize,
): void {
  const logits = scratch + OWN;
  for (let i = 0; i < n; i += ROWS) {
    const rows = min(ROWS, n - i);
    gemm(rows, V, C, at(h, i * C), C, 0, head, C, 1, logits, V, SET, 0, scratch);
    for (let row = 0; row < rows; row++) {
      const x = at(logits, row * V);
      store<f32>(at(losses, i + row), <f32>lossRow(x, V, load<i32>(at(labels, i + row))));
    }
  }
}

/** The mean loss [1], and its gradients dh [n,C] and dhead [V,C] */
export function headMeanLoss(
  h: usize, head: usize, labels: usize, n: i32, C: i32, V: i32,
  loss: usize, dh: usize, dhead: usize, scratch: usize,
): void {
  const logits = scratch + OWN;
  let total: f64 = 0;
  for (let i = 0; i < n; i += ROWS) {
    const rows = min(ROWS, n - i);
    gemm(rows, V, C, at(h, i * C), C, 0, head, C, 1, logits, V, SET, 0, scratch);
    for (let row = 0; row < rows; row++) {
      total += gradRow(at(logits, row * V), V, load<i32>(at(labels, i + row)), 1 / <f32>n);
    }
    gemm(rows, C, V, logits, V, 0, head, C, 0, at(dh, i * C), C, SET, 0, scratch);
    gemm(V, C, rows, logits, V, 1, at(h, i * C), C, 0, dhead, C, i == 0 ? SET : ADD, 0, scratch);
  }
  store<f32>(loss, <f32>(total / <f64>n));
}

/** Overwrites the logits. */
function lossRow(x: usize, V: i32, label: i32): f64 {
  const own = load<f32>(at(x, label));
  const peak = maxRow(x, V);
  return ln(<f64>expRow(x, V, 1, peak)) + <f64>peak - <f64>own;
}

/** The logits become (softmax − one at the label)·share; returns the loss. */
function gradRow(x: usize, V: i32, label: i32, share: f32): f64 {
  const own = load<f32>(at(x, label));
  const peak = maxRow(x, V);
  const sum = expRow(x, V, 1, peak);
  scaleRow(x, V, share / sum);
  store<f32>(at(x, label), load<f32>(at(x, label)) - share);
  return ln(<f64>sum) + <f64>peak - <f64>own;
}
