import { must } from '#shared/errors/pool-error.ts';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';

interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Names shown of each kind of fault. */
const SHOWN = 5;
const HEAD = 'lm_head.weight';
/** Tables that older versions of transformers saved with the weights; they follow from the configuration. */
const BUFFERS = /(^|\.)(attn\.(bias|masked_bias)|rotary_emb\.inv_freq)$/;

/** True for what is stored among the weights and is none. */
export const isBuffer = (name: string): boolean => BUFFERS.test(name);

/** The module under which the causal language model of transformers keeps the rest of the network. */
const bodyOf = ({ family }: ModelConfig) => (family === 'gpt2' ? 'transformer.' : 'model.');

export interface MatchedTensors<T> {
  /** Name in the model → tensor of the checkpoint, for every tensor of the model, in name order. */
  readonly tensors: ReadonlyMap<string, T>;
  /** A head that is stored although it is tied to the embeddings: it must equal `tensors.get(name)`. */
  readonly tiedHead: { readonly head: T; readonly name: string } | null;
}

/**
 * Finds each tensor of the model among those of a checkpoint, whose names may lack the prefix of the class that
 * saved them. WEIGHTS_NAMES or WEIGHTS_SHAPE with all that is missing, too much or of another shape.
 */
export function matchTensors<T extends NamedShape>(
  found: readonly T[],
  config: ModelConfig,
): MatchedTensors<T> {
  const shapes = tensorShapes(config);
  const body = bodyOf(config);
  const byName = new Map<string, T>();
  for (const tensor of found.filter(({ name }) => !isBuffer(name))) {
    const name =
      !shapes.has(tensor.name) && shapes.has(body + tensor.name) ? body + tensor.name : tensor.name;
    must(!byName.has(name), 'WEIGHTS_NAMES', `the checkpoint holds ${name} twice`);
    byName.set(name, tensor);
  }
  const head = shapes.has(HEAD) ? undefined : byName.get(HEAD);
  if (head) byName.delete(HEAD);
  check(byName, shapes);
  const tensors = new Map([...shapes.keys()].map((name) => [name, byName.get(name) as T]));
  const embeddings = config.family === 'gpt2' ? 'transformer.wte.weight' : 'model.embed_tokens.weight';
  return { tensors, tiedHead: head ? { head, name: embeddings } : null };
}

function check(found: ReadonlyMap<string, NamedShape>, shapes: ReadonlyMap<string, readonly number[]>): void {
  const missing = [...shapes.keys()].filter((name) => !found.has(name));
  const extra = [...found.keys()].filter((name) => !shapes.has(name));
  const reshaped = [...shapes].flatMap(([name, shape]) => {
    const got = found.get(name)?.shape.join(', ');
    return got === undefined || got === shape.join(', ')
      ? []
      : [`${name} ([${got}] for [${shape.join(', ')}])`];
  });
  const faults = [
    missing.length > 0 && `${missing.length} of ${shapes.size} tensors are missing: ${some(missing)}`,
    extra.length > 0 && `${extra.length} are not of this model: ${some(extra)}`,
    reshaped.length > 0 && `${reshaped.length} have another shape: ${some(reshaped)}`,
  ].filter((fault) => fault !== false);
  const hint = missing.includes(HEAD) ? '; tie_word_embeddings may be missing in config.json' : '';
  const code = missing.length + extra.length > 0 ? 'WEIGHTS_NAMES' : 'WEIGHTS_SHAPE';
  must(
    faults.length === 0,
    code,
    () => `the weights are not those that config.json describes: ${faults.join('; ')}${hint}`,
  );
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).map((name) => name.replaceAll(/\p{Cc}/gu, '?').slice(0, 120));
  return `${shown.join(', ')}${names.length > SHOWN ? ', …' : ''}`;
}
