import { z } from 'zod';

/** Text that is shown to people: no control characters, which could steer a terminal. */
export const shown = (length: number) =>
  z
    .string()
    .max(length)
    .regex(/^\P{C}*$/u);
/** Rates and times are for figures, and stay far below where sums of them lose their meaning. */
export const measured = z.number().nonnegative().max(1e15);

/** A compute backend that passed its self-test, and on which device. */
export const backendCapabilitySchema = z.strictObject({
  name: shown(40),
  /** Such as `libtensorflow 2.21.0 on NVIDIA H100`. */
  device: shown(200).optional(),
  /** 2 · parameters · tokens of a loss evaluation, by its time. */
  gflops: measured.optional(),
  /** Of the device; left out where it cannot be asked for. */
  memoryBytes: measured.optional(),
});
export type BackendCapability = z.infer<typeof backendCapabilitySchema>;

/** What a machine can do, measured at its start and not believed any further than that. PROTOCOL §11. */
export const capabilitiesSchema = z.strictObject({
  /** The one in use first; one entry per device. Empty where the machine computes no model. */
  backends: z.array(backendCapabilitySchema).max(64),
  /** All hashing threads together; 0 where the machine does not hash. */
  hashesPerSecond: measured,
  /** Of the machine. */
  memoryBytes: measured,
  cores: z.number().int().nonnegative().max(100_000),
  /** Version of Node.js. */
  node: shown(40).optional(),
});
export type Capabilities = z.infer<typeof capabilitiesSchema>;

/** How a machine is at this moment. */
export const healthSchema = z.strictObject({
  /** In the order of the driver; what it does not tell is left out. */
  gpus: z
    .array(
      z.strictObject({
        /** Busy share, 0 to 1. */
        utilisation: measured.optional(),
        celsius: measured.optional(),
        memoryUsedBytes: measured.optional(),
      }),
    )
    .max(64),
  /** The last warning or error of the worker, and how long ago it was. */
  trouble: z.strictObject({ agoMs: measured, message: shown(200) }).optional(),
});
export type WorkerHealth = z.infer<typeof healthSchema>;
