import type { z } from 'zod';

/** What stands in a message of foreign text: enough to find the fault, too little to fill a log. */
const MAX_SHOWN = 300;

/** Where and why a value does not fit its schema, on one short line. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  return `${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? 'invalid'}`.slice(0, MAX_SHOWN);
}
