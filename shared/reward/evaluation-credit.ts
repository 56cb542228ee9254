/** PROTOCOL §10: the tokens of all windows, through the base and the candidate, times the model's parameters. */
export function evaluationCredit(done: {
  readonly windows: number;
  readonly context: number;
  readonly parameters: number;
}): bigint {
  return BigInt(2 * done.windows * done.context) * BigInt(done.parameters);
}
