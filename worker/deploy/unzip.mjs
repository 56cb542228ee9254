// Takes files out of a zip archive. For archives whose hash was checked: names are trusted, sums are not repeated.
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';

// The ZIP specification (APPNOTE 6.3): signatures, lengths and offsets of the three records that are read.
const END = { signature: 0x06054b50, bytes: 22, most: 22 + 0xffff };
const ENTRY = { signature: 0x02014b50, bytes: 46 };
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const STORED = 0;
const DEFLATED = 8;
/** What 32-bit fields hold where the value stands in a zip64 record. */
const IN_ZIP64 = 0xffffffff;

/** Writes the entries whose name `wanted` accepts below `folder`, one after another; returns their names. */
export async function unzip(archive, folder, wanted) {
  const file = await open(archive);
  try {
    const entries = (await readDirectory(file, archive)).filter(({ name }) => wanted(name));
    for (const entry of entries) {
      const path = join(folder, entry.name);
      await mkdir(dirname(path), { recursive: true });
      await extract(archive, { ...entry, start: await dataStart(file, entry) }, path);
    }
    return entries.map(({ name }) => name);
  } finally {
    await file.close();
  }
}

/** Files of the central directory at the archive's end. */
async function readDirectory(file, archive) {
  const { size } = await file.stat();
  const tail = await read(file, Math.max(0, size - END.most), Math.min(size, END.most));
  const at = findEnd(tail);
  if (at < 0) throw new Error(`${archive}: expected a zip archive`);
  const bytes = tail.readUInt32LE(at + 12);
  const offset = tail.readUInt32LE(at + 16);
  if (offset === IN_ZIP64) throw new Error(`${archive}: zip64 is not supported`);
  const directory = await read(file, offset, bytes);
  const entries = [];
  for (let p = 0; p < bytes && directory.readUInt32LE(p) === ENTRY.signature; ) {
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) =>
      directory.readUInt16LE(p + field),
    );
    const name = directory.toString('utf8', p + ENTRY.bytes, p + ENTRY.bytes + nameBytes);
    const compressed = directory.readUInt32LE(p + 20);
    const method = directory.readUInt16LE(p + 10);
    // The high half holds Unix permissions.
    const mode = directory.readUInt16LE(p + 40) & 0o777;
    if (!name.endsWith('/'))
      entries.push({ name, method, compressed, mode, header: directory.readUInt32LE(p + 42) });
    p += ENTRY.bytes + nameBytes + extraBytes + commentBytes;
  }
  return entries;
}

function findEnd(tail) {
  for (let at = tail.length - END.bytes; at >= 0; at--)
    if (tail.readUInt32LE(at) === END.signature) return at;
  return -1;
}

/** A file's data begins after its local header, whose name and extra field have lengths of their own. */
async function dataStart(file, { name, header }) {
  const local = await read(file, header, LOCAL.bytes);
  if (local.readUInt32LE(0) !== LOCAL.signature) throw new Error(`${name}: expected a zip entry`);
  return header + LOCAL.bytes + local.readUInt16LE(26) + local.readUInt16LE(28);
}

async function extract(archive, { name, method, compressed, mode, start }, path) {
  if (method !== STORED && method !== DEFLATED)
    throw new Error(`${name}: zip method ${method} is not supported`);
  const source = createReadStream(archive, { start, end: start + Math.max(compressed, 1) - 1 });
  const target = createWriteStream(path, { mode: mode || 0o644 });
  if (compressed === 0) target.end();
  else if (method === STORED) await pipeline(source, target);
  else await pipeline(source, createInflateRaw(), target);
}

async function read(file, position, length) {
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer;
}
