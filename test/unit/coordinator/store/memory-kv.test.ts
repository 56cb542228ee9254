import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { kvConformance } from '#test/conformance/kv.ts';

kvConformance('memory', async () => new MemoryKv());
