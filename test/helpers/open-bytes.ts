import type { OpenPayload } from '#worker/client/payload-cache.ts';

/** Bytes in memory as a payload that is read in pieces. */
export function openBytes(bytes: Uint8Array): OpenPayload {
  return {
    bytes: bytes.length,
    read: async (into, at) => into.set(bytes.subarray(at, at + into.length)),
    close: async () => {},
  };
}
