export type { Device as StartedBackend } from '#worker/model/backend/device.ts';
