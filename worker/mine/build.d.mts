/** Builds grinder.wasm unless it is up to date already. Returns its path and whether it was built. */
export function build(): Promise<{ path: string; built: boolean }>;
