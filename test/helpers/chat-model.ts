import { createHash } from 'node:crypto';
import { decodeManifest, encodeManifest, type Manifest } from '#shared/block/manifest.ts';
import type { ModelRef } from '#shared/protocol/worker.ts';
import { openBytes } from '#test/helpers/open-bytes.ts';
import { TinyPool } from '#test/helpers/tiny-pool.ts';
import type { OpenPayload } from '#worker/client/payload-cache.ts';
import { rootOf } from '#worker/model/model-slot.ts';

/** `role: content` line by line. */
export const TEST_TEMPLATE =
  "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}{{ 'assistant:' }}";

/** Models of one small architecture, whose payloads a test may hold back. */
export class ChatModels {
  readonly #pool = new TinyPool();
  /** Resolves before a payload is given out. */
  ahead: Promise<void> = Promise.resolve();
  /** Payloads given out so far. */
  given = 0;

  async manifest(): Promise<Manifest> {
    const { payload_hash: hash } = (await this.#pool.model()).meta;
    return decodeManifest(await this.#pool.get(hash));
  }

  /** Weights by a seed, and a Meta payload with some changes. */
  async ref(seed: number, change: Partial<Manifest> = {}): Promise<ModelRef> {
    const manifest = await this.manifest();
    const bytes = encodeManifest({ ...manifest, chat_template: TEST_TEMPLATE, ...change });
    const metaPayload = createHash('sha256').update(bytes).digest('hex');
    this.#pool.payloads.set(metaPayload, bytes);
    const tensors = this.#pool.freshTensors(seed);
    return { meta: '00'.repeat(32), metaPayload, root: rootOf(tensors), tensors };
  }

  async get(hash: string): Promise<Uint8Array> {
    await this.ahead;
    this.given += 1;
    return this.#pool.get(hash);
  }

  async open(hash: string): Promise<OpenPayload> {
    return openBytes(await this.get(hash));
  }
}
