import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { open, readdir, readFile, rm, stat, statfs } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { versions } from 'node:process';
import { promisify } from 'node:util';
import { type Finding, findings, gigabytes } from '#worker/doctor/finding.ts';

/** As in package.json. */
const LEAST_NODE = [20, 19] as const;
/** Below it the process of an evaluation is ended by the system sooner or later. */
const LEAST_FREE_MEMORY_BYTES = 2e9;
/** The payload cache may grow to 10 GB and shrinks when it must; below this it cannot hold a model. */
const LEAST_FREE_DISK_BYTES = 2e9;
const TRIAL_BYTES = 32 * 2 ** 20;
const SLOW_DISK_BYTES_PER_SECOND = 20e6;
const PROGRAM_TIMEOUT_MS = 10_000;
const PCI_FOLDER = '/sys/bus/pci/devices';
const NVIDIA_VENDOR = '0x10de';
/** Class 3 of PCI: whatever can show a picture, and computing cards too. */
const DISPLAY_CLASS = '0x03';
/** Where the Vulkan loader of Linux looks for drivers. */
const VULKAN_FOLDERS = ['/etc/vulkan/icd.d', '/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d'];

export function checkNode(version: string = versions.node): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const { fine, fault } = findings('node');
  const [leastMajor, leastMinor] = LEAST_NODE;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return fine(`Node.js ${version}`);
  return fault(
    `Node.js ${version}, too old`,
    `install Node.js ${LEAST_NODE.join('.')} or later from https://nodejs.org`,
  );
}

export function checkMemory(memory = { free: freemem(), total: totalmem() }): Finding {
  const { fine, fault } = findings('memory');
  const found = `${gigabytes(memory.free)} of ${gigabytes(memory.total)} free`;
  if (memory.free >= LEAST_FREE_MEMORY_BYTES) return fine(found);
  return fault(found, `end other programs, until ${gigabytes(LEAST_FREE_MEMORY_BYTES)} are free`);
}

/** Free space and write speed of the file system that the folder is, or will be, on. */
export async function checkDisk(dataDir: string): Promise<Finding> {
  const { fine, fault } = findings('disk');
  const folder = await existing(resolve(dataDir));
  try {
    const { bavail, bsize } = await statfs(folder);
    const free = bavail * bsize;
    const rate = await writeRate(folder);
    const found = `${folder}: ${gigabytes(free)} free, writes ${(rate / 1e6).toFixed(0)} MB/s`;
    if (free < LEAST_FREE_DISK_BYTES)
      return fault(found, `free ${gigabytes(LEAST_FREE_DISK_BYTES)}, or name another folder by --data-dir`);
    if (rate < SLOW_DISK_BYTES_PER_SECOND)
      return fault(found, 'too slow for payloads: name a folder on a faster disk by --data-dir');
    return fine(found);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    return fault(
      `${folder}: cannot be written (${code})`,
      `make it yours (chown), or name another by --data-dir`,
    );
  }
}

/** The driver of NVIDIA's GPUs, and which others Vulkan knows. */
export async function checkGpu(
  vulkanFolders: readonly string[] = VULKAN_FOLDERS,
  pciFolder: string = PCI_FOLDER,
): Promise<Finding[]> {
  return [await checkNvidia(await countNvidiaCards(pciFolder)), await checkVulkan(vulkanFolders)];
}

/** NVIDIA's graphics cards that are plugged in, with or without a driver. Known on Linux only. */
async function countNvidiaCards(folder: string): Promise<number> {
  const devices = await readdir(folder).catch(() => []);
  const read = (device: string, name: string) => readFile(join(folder, device, name), 'utf8').catch(() => '');
  const cards = await Promise.all(
    devices.map(async (device) => {
      const [vendor, kind] = await Promise.all([read(device, 'vendor'), read(device, 'class')]);
      return vendor.trim() === NVIDIA_VENDOR && kind.startsWith(DISPLAY_CLASS);
    }),
  );
  return cards.filter(Boolean).length;
}

async function checkNvidia(cards: number): Promise<Finding> {
  const { fine, note, fault } = findings('gpu');
  const fields = ['name', 'driver_version', 'memory.total', 'temperature.gpu'];
  const query = [`--query-gpu=${fields.join()}`, '--format=csv,noheader'];
  try {
    const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: PROGRAM_TIMEOUT_MS });
    const gpus = stdout.trim().split('\n').filter(Boolean);
    if (gpus.length > 0) return fine(gpus.map((line) => `${line} °C`).join('; '));
    return note('the driver of NVIDIA is there, and lists no GPU');
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (isMissing && cards > 0)
      return fault(
        `${cards} NVIDIA GPU${cards === 1 ? '' : 's'} plugged in, and no driver (nvidia-smi is missing)`,
        'install the driver: on Ubuntu `sudo ubuntu-drivers install`, elsewhere from https://nvidia.com/drivers; then restart the machine',
      );
    if (isMissing) return note('no GPU of NVIDIA: the processor computes, or another GPU by WebGPU');
    return fault(
      `nvidia-smi fails: ${(error as Error).message.split('\n')[0]}`,
      'the driver does not fit the kernel: install it again, then restart the machine',
    );
  }
}

async function checkVulkan(folders: readonly string[]): Promise<Finding> {
  const { fine, note } = findings('vulkan');
  const lists = await Promise.all(folders.map((folder) => readdir(folder).catch(() => [])));
  const drivers = lists.flat().filter((name) => name.endsWith('.json'));
  if (drivers.length > 0) return fine(drivers.join(', '));
  return note(
    'no Vulkan driver in the usual folders: the webgpu backend needs one on Linux',
    'only where you want webgpu: install the Vulkan driver of your GPU, such as mesa-vulkan-drivers',
  );
}

/** The folder, or the nearest one above it that is there. */
async function existing(folder: string): Promise<string> {
  const found = await stat(folder).catch(() => undefined);
  return found?.isDirectory() || dirname(folder) === folder ? folder : existing(dirname(folder));
}

async function writeRate(folder: string): Promise<number> {
  const path = join(folder, `.aiblock-doctor-${randomUUID()}`);
  const file = await open(path, 'wx');
  try {
    const began = performance.now();
    await file.writeFile(Buffer.alloc(TRIAL_BYTES, 0x5a));
    await file.sync();
    return (TRIAL_BYTES / (performance.now() - began)) * 1000;
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}
