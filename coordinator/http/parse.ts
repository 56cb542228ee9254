import type { z } from 'zod';
import { PoolError } from '#shared/errors/pool-error.ts';

/** What came in, by its schema; BAD_REQUEST names the first thing that is not of its form. */
export function parse<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = [what, ...(issue?.path ?? [])].join('.');
  throw new PoolError('BAD_REQUEST', `${where}: ${issue?.message ?? 'invalid'}`);
}
