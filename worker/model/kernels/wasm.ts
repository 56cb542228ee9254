/** Set-up of the kernels of our own. */
export async function installWasmKernels(): Promise<void> {}
