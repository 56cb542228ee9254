import type { TensorToWrite } from '#shared/weights/safetensors.ts';

/**
 * A model of somebody else's, opened: its texts are read and checked, and its tensors are exactly those that its
 * configuration describes. The weights themselves are read later, one after another, in pieces.
 * `test/conformance/checkpoint.ts` is this contract in code.
 */
export interface Checkpoint {
  /** What it is called in messages: a path, or a Hub id with its commit. */
  readonly source: string;
  readonly texts: ModelTexts;
  /** In name order. */
  readonly tensors: readonly CheckpointTensor[];
  /** Closes its files; may be called again. */
  close(): Promise<void>;
  /** Removes what was downloaded for it, once it is closed and nobody needs it any more. */
  discard?(): Promise<void>;
}

/** Texts of the files of a Hugging Face model folder. */
export interface ModelTexts {
  readonly config: string;
  readonly tokenizer: string;
  /** `null` where the model has none. */
  readonly chatTemplate: string | null;
  readonly tokenizerConfig: string | null;
  readonly generationConfig: string | null;
}

/** A tensor under the name that transformers gives it in the state dict of the causal language model. */
export interface CheckpointTensor extends TensorToWrite {
  /** Its little-endian bytes from the first on, at each call anew. WEIGHTS_TRUNCATED, STORE_IO. */
  read(): AsyncIterable<Uint8Array>;
}
