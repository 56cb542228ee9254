import { z } from 'zod';
import { ERRORS, type ErrorCode } from '#shared/errors/catalogue.ts';

/** 32 bytes. */
export const hex32 = z.string().regex(/^[0-9a-f]{64}$/);

export const errorBodySchema = z.strictObject({
  error: z.strictObject({
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  }),
});

/** A whole number in a query: plain digits, where Number() would read '', ' 5', 0x5 and 5e0 too. */
export const digits = z
  .string()
  .regex(/^[0-9]{1,15}$/, 'expected digits')
  .transform(Number);
