import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where distributions put Chromium, which brings SwiftShader, a Vulkan driver that computes on the processor. */
const FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];
const DRIVER = 'vk_swiftshader_icd.json';

const folder = FOLDERS.find((path) => existsSync(join(path, DRIVER)));

/** The environment in which a process computes on it, which the Vulkan loader reads when the process starts. */
export const SOFTWARE_GPU: Readonly<Record<string, string>> =
  folder === undefined ? {} : { VK_ICD_FILENAMES: join(folder, DRIVER), LD_LIBRARY_PATH: folder };

/** For the `skip` of a test that needs it: why it is skipped, or false. */
export const noSoftwareGpu: string | false = folder === undefined && `no ${DRIVER} beside a Chromium`;
