/** Compiles the kernels where their sources changed; returns true if it did. */
export function buildKernels(): Promise<boolean>;
