import { must } from '#shared/errors/pool-error.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { type ChatMessage, ChatTemplate } from '#worker/text/chat-template.ts';

/* What the text thread does, one request after another. */

/** The texts of a model that decide what is text to it. */
export interface ModelTexts {
  readonly tokenizer: string;
  readonly tokenizerConfig?: string | undefined;
  readonly chatTemplate: string;
}

export type TextRequest =
  | { readonly kind: 'open'; readonly texts: ModelTexts }
  /** A text as a prompt begins: with the tokens that the tokenizer puts in front. */
  | { readonly kind: 'encode'; readonly text: string; readonly addSpecial: boolean }
  | { readonly kind: 'decode'; readonly ids: readonly number[] }
  | { readonly kind: 'render'; readonly messages: readonly ChatMessage[] };

/** What is asked of the tokenizer at every token, so that it need not be asked there. */
export interface TokenizerFacts {
  readonly vocabSize: number;
  readonly endOfText: number | null;
  readonly special: readonly number[];
}

/** Of a few thousand characters; a normaliser may make one character many. */
const MAX_TOKENS = 1_000_000;
/** Of the few tokens that are decoded together. */
const MAX_DECODED_CHARS = 10_000;

export class TextWork {
  #texts: ModelTexts | undefined;
  #tokenizer: Tokenizer | undefined;
  #template: ChatTemplate | undefined;

  answer(request: TextRequest): TokenizerFacts | number[] | string {
    if (request.kind === 'open') return this.#open(request.texts);
    if (request.kind === 'encode') return this.#encode(request.text, request.addSpecial);
    if (request.kind === 'decode') return this.#decode(request.ids);
    return this.#render(request.messages);
  }

  #open(texts: ModelTexts): TokenizerFacts {
    this.#texts = texts;
    this.#tokenizer = Tokenizer.fromJson(texts.tokenizer, texts.tokenizerConfig);
    const { vocabSize, endOfText, specialIds } = this.#tokenizer;
    return { vocabSize, endOfText, special: specialIds };
  }

  #encode(text: string, addSpecial: boolean): number[] {
    const ids = this.#opened().encode(text, { addSpecial });
    must(ids.length <= MAX_TOKENS, 'TOKENIZER', () => `the text became ${ids.length} tokens`);
    return ids;
  }

  #decode(ids: readonly number[]): string {
    const text = this.#opened().decode(ids);
    must(
      text.length <= MAX_DECODED_CHARS,
      'TOKENIZER',
      () => `${ids.length} tokens stand for ${text.length} characters`,
    );
    return text;
  }

  #render(messages: readonly ChatMessage[]): string {
    this.#template ??= new ChatTemplate(this.#texts?.chatTemplate ?? '', this.#texts?.tokenizerConfig);
    return this.#template.render(messages, new Date());
  }

  #opened(): Tokenizer {
    must(this.#tokenizer, 'INTERNAL', 'the tokenizer was not opened');
    return this.#tokenizer;
  }
}
