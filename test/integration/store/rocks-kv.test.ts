import { join } from 'node:path';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { kvConformance } from '#test/conformance/kv.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const root = await tempDir();
let stores = 0;
kvConformance('RocksDB', () => openRocksKv(join(root, `${++stores}`)));
