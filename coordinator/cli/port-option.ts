import { InvalidArgumentError } from 'commander';

const MAX_PORT = 65_535;

/** Parser of `--port`. */
export function portOption(text: string): number {
  const port = Number(text);
  if (!/^[0-9]+$/.test(text) || port > MAX_PORT)
    throw new InvalidArgumentError(`expected a port from 0 to ${MAX_PORT}.`);
  return port;
}
