/** What may seek nonces, by choice of the worker's owner; `auto` is the fastest that hashes rightly. */
export const WANTED_GRINDERS = ['auto', 'wasm', 'webgpu'] as const;
export type WantedGrinder = (typeof WANTED_GRINDERS)[number];
