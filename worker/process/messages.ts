import type { ErrorObject } from '#shared/errors/pool-error.ts';

/** Parent → child. Structured clones: typed arrays cross as they are. */
export type ToChild =
  | { readonly kind: 'request'; readonly id: number; readonly request: unknown }
  | { readonly kind: 'cancel'; readonly id: number };

/** Child → parent: any number of events, then one result or error per request. */
export type FromChild =
  | { readonly kind: 'event'; readonly id: number; readonly event: unknown }
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: ErrorObject };
