/**
 * What the operator decided about a worker, until he decides otherwise: `paused` holds nothing, `draining` finishes
 * what it holds; both get nothing new. `revoked` may not attach.
 */
export const STANDINGS = ['active', 'paused', 'draining', 'revoked'] as const;
export type Standing = (typeof STANDINGS)[number];
