import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { z } from 'zod';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { strftime } from '#worker/text/strftime.ts';

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** The longest published templates are about 20,000 characters. */
const MAX_TEMPLATE_CHARS = 256 * 1024;
const MAX_RENDERED_CHARS = 1024 * 1024;
/** A list that outgrows the heap in one step would end the process, not the thread. */
const MAX_RANGE = 100_000;

const tokenSchema = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const specialTokensSchema = z.looseObject({
  bos_token: tokenSchema,
  eos_token: tokenSchema,
  unk_token: tokenSchema,
  sep_token: tokenSchema,
  pad_token: tokenSchema,
  cls_token: tokenSchema,
  mask_token: tokenSchema,
});
const SPECIAL_TOKENS = Object.keys(specialTokensSchema.shape) as (keyof typeof specialTokensSchema.shape)[];

/**
 * A model's chat template (Jinja), which turns messages into the text that the model goes on from. It is given what
 * transformers' `apply_chat_template(…, add_generation_prompt=True)` gives it. Every refusal, the template's own
 * `raise_exception` among them, is a PoolError CHAT_TEMPLATE. A stranger's template may loop without end: render it
 * where a deadline can stop it.
 */
export class ChatTemplate {
  readonly #program: ReturnType<typeof parse>;
  readonly #tokens: Readonly<Record<string, string>>;

  /** `configJson` is the `tokenizer_config.json`, which names the special tokens. */
  constructor(text: string, configJson = '{}') {
    must(text !== '', 'CHAT_TEMPLATE', 'the model has no chat template: ask it with a prompt');
    must(
      text.length <= MAX_TEMPLATE_CHARS,
      'CHAT_TEMPLATE',
      () => `chat template: expected at most ${MAX_TEMPLATE_CHARS} characters, got ${text.length}`,
    );
    // As transformers has it: a block's own line leaves no blank line.
    this.#program = guarded(() => parse(tokenize(text, { lstrip_blocks: true, trim_blocks: true })));
    this.#tokens = guarded(() => specialTokens(configJson));
  }

  render(messages: readonly ChatMessage[], now: Date): string {
    const names = { ...globals(now), ...this.#tokens, messages, tools: null, documents: null };
    const text = guarded(() => {
      const environment = new Environment();
      for (const [name, value] of Object.entries(names)) environment.set(name, value);
      environment.set('add_generation_prompt', true);
      return String(new Interpreter(environment).run(this.#program).value);
    });
    must(
      text.length <= MAX_RENDERED_CHARS,
      'CHAT_TEMPLATE',
      () => `chat template: expected at most ${MAX_RENDERED_CHARS} characters of text, got ${text.length}`,
    );
    return text;
  }
}

/** What a template may call and name besides its arguments. */
function globals(now: Date): Record<string, unknown> {
  return {
    ...{ true: true, True: true, false: false, False: false, none: null, None: null },
    raise_exception: (message: unknown) => {
      throw new Error(String(message));
    },
    range,
    strftime_now: (format: unknown) => strftime(now, String(format)),
  };
}

/** Python's range as a list. */
function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= MAX_RANGE)) throw new Error(`range of more than ${MAX_RANGE} numbers`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

function specialTokens(configJson: string): Record<string, string> {
  const config = specialTokensSchema.parse(JSON.parse(configJson));
  const tokens: Record<string, string> = {};
  for (const name of SPECIAL_TOKENS) {
    const token = config[name];
    if (token !== null && token !== undefined)
      tokens[name] = typeof token === 'string' ? token : token.content;
  }
  return tokens;
}

/** What the template says is shown to people: one line, and nothing that steers a terminal. */
function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof PoolError) throw error;
    const why = String((error as Error)?.message ?? error);
    const shown = why.slice(0, 200).replace(/\p{C}+/gu, ' ');
    throw new PoolError('CHAT_TEMPLATE', `the chat template refuses: ${shown}`, {}, { cause: error });
  }
}
