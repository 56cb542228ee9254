import { createInterface } from 'node:readline/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ChatMessage, type ChatRequest, chatRequestSchema } from '#shared/api/chat-schemas.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { formatAmount, parseAmount, UNIT } from '#shared/money.ts';
import type { AllowanceRequest } from '#shared/protocol/allowance.ts';
import { addKeystoreOptions, type CommandEnvironment, examples, numberOption } from '#worker/cli/command.ts';
import { streamChat } from '#worker/client/chat-stream.ts';

interface ChatFlags {
  readonly coordinator: string;
  readonly system?: string;
  readonly raw: boolean;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly stop?: string[];
  readonly seed?: number;
  readonly keystore?: string;
  readonly passwordFile?: string;
  readonly keyFile?: string;
  readonly spend: bigint;
  readonly json: boolean;
}

/** Of a conversation, so much is sent: the newest of it, far below what the API takes. */
const MAX_SENT_CHARS = 20_000;
const MAX_SENT_MESSAGES = 100;

/** `aiblock chat`: asks the model at the head. */
export function register(program: Command, environment: CommandEnvironment): void {
  const collect = (stop: string, before: string[] = []) => [...before, stop];
  addKeystoreOptions(program.command('chat'))
    .summary('ask the model at the head')
    .description(
      'Asks the model at the head and prints the answer as it is made. Without a text, a terminal becomes a conversation; of other input, every line is a question of its own.',
    )
    .argument('[text]', 'what to ask')
    .option('--coordinator <url>', 'address of the pool', environment.settings.coordinatorUrl)
    .option('--system <text>', 'message that comes before all others')
    .option('--raw', 'the model goes on from the text itself, without its chat template', false)
    .option('--max-tokens <n>', 'the longest answer (default: 64)', numberOption(1, 1024))
    .option(
      '--temperature <t>',
      '0 takes the likeliest token each time (default: the model’s own, or 0.8)',
      numberOption(0, 5, 'any'),
    )
    .option('--top-k <n>', 'only the n likeliest tokens; 0 for all', numberOption(0, 1_048_576))
    .option('--top-p <p>', 'only the likeliest tokens that sum to p', numberOption(0.001, 1, 'any'))
    .option('--min-p <p>', 'only tokens of p times the likeliest or more', numberOption(0, 1, 'any'))
    .option('--repetition-penalty <r>', 'above 1: fewer repetitions', numberOption(0.1, 10, 'any'))
    .option('--stop <text>', 'the answer ends before this text; may be given several times', collect)
    .option('--seed <n>', 'the same seed gives the same answer of the same head', numberOption(0, 0xffffffff))
    .option('--key-file <file>', 'pay with the plain key in this file')
    .addOption(
      new Option('--spend <tokens>', 'what this session may cost at most, where the pool asks for fees')
        .argParser(spendOption)
        .default(UNIT, '1'),
    )
    .option('--json', 'one JSON object per line', false)
    .addHelpText(
      'after',
      examples(
        'aiblock chat "Call me"',
        'aiblock chat "Who are you?" --system "Answer in one sentence." --top-p 0.9',
        'aiblock chat --raw "The whale" --max-tokens 200 --temperature 0.6 --seed 7',
        'aiblock chat < questions.txt',
        'aiblock chat "Call me" --keystore wallet.json --spend 0.1',
      ),
    )
    .action(async (text: string | undefined, flags: ChatFlags) => {
      const paying = { ...flags, payment: await paymentOf(flags, environment) };
      if (text === undefined) await converse(paying, environment);
      else await ask([userSays(text)], paying, environment);
    });
}

const userSays = (content: string): ChatMessage => ({ role: 'user', content });

/** Longer than anybody talks in one sitting. */
const ALLOWED_SECONDS = 3_600;

/** An allowance of the key that is named; none where none is: then the pool must be one whose chats are free. */
async function paymentOf(
  flags: ChatFlags,
  environment: CommandEnvironment,
): Promise<AllowanceRequest | undefined> {
  const { keystore, keyFile, spend: limit } = flags;
  if (keystore === undefined && keyFile === undefined) return undefined;
  // Late: who pays nothing need not wait for the cryptography.
  const [{ ApiClient }, { allowChat }, { readWallet }, { askPassword }] = await Promise.all([
    import('#worker/client/api-client.ts'),
    import('#worker/wallet/allow-chat.ts'),
    import('#worker/wallet/wallet-file.ts'),
    import('#worker/wallet/password.ts'),
  ]);
  const { stdin, err, signal, now } = environment;
  const key = await readWallet(keystore ?? (keyFile as string), () =>
    askPassword({ file: flags.passwordFile, stdin, err, signal }),
  );
  const expiry = BigInt(Math.floor(now() / 1000) + ALLOWED_SECONDS);
  return allowChat(new ApiClient(flags.coordinator), key, { limit, expiry });
}

function spendOption(text: string): bigint {
  try {
    return parseAmount(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

type PayingFlags = ChatFlags & { readonly payment: AllowanceRequest | undefined };

/** Prints the answer and returns it. */
async function ask(
  messages: readonly ChatMessage[],
  flags: PayingFlags,
  environment: CommandEnvironment,
): Promise<string> {
  const { out, err, signal } = environment;
  let answer = '';
  let end = '';
  let fee: string | undefined;
  try {
    const { payment } = flags;
    const request = { ...requestOf(messages, flags), ...(payment && { payment }) };
    for await (const event of streamChat(flags.coordinator, request, signal)) {
      if (event.type === 'token') answer += event.text;
      if (flags.json) out(`${JSON.stringify(event)}\n`);
      else if (event.type === 'token') out(printable(event.text));
      if (event.type === 'done') fee = event.fee_units;
      if (!flags.json) end = event.type === 'done' && event.finish_reason === 'length' ? ' …\n' : '\n';
    }
  } catch (error) {
    throw flags.payment ? error : withHowToPay(error);
  } finally {
    // Also after Ctrl-C: the terminal's next line begins at its start.
    out(end);
  }
  if (fee !== undefined && !flags.json) err(`Cost ${formatAmount(BigInt(fee))}.\n`);
  return answer;
}

/** The pool speaks of an allowance; here two options give one. */
function withHowToPay(error: unknown): unknown {
  if (!(error instanceof PoolError) || error.code !== 'PAYMENT') return error;
  const how = 'name the key that pays with --keystore FILE, and what it may cost at most with --spend TOKENS';
  return new PoolError('PAYMENT', `${error.message}; ${how}`, error.details, { cause: error });
}

/** Line by line; at a terminal each with those before it, and an error does not end the conversation. */
async function converse(flags: PayingFlags, environment: CommandEnvironment): Promise<void> {
  const { stdin, out, err, signal } = environment;
  const atTerminal = stdin.isTTY === true && !flags.json;
  const lines = createInterface({ input: stdin, signal });
  let said: ChatMessage[] = [];
  if (atTerminal) out('Ctrl-D ends the conversation.\n> ');
  for await (const line of lines) {
    try {
      if (line.trim() !== '') {
        const messages = newest([...said, userSays(line)]);
        const answer = await ask(messages, flags, environment);
        if (atTerminal && !flags.raw) said = [...messages, { role: 'assistant', content: answer }];
      }
    } catch (error) {
      if (!atTerminal || !(error instanceof PoolError)) throw error;
      err(`error ${error.code}: ${error.message}\n`);
    }
    if (atTerminal) out('> ');
  }
  if (atTerminal) out('\n');
}

/** Without the oldest pairs of question and answer where they are too long to be sent. */
function newest(messages: readonly ChatMessage[]): ChatMessage[] {
  const kept = messages.slice(-MAX_SENT_MESSAGES - 1);
  const chars = () => kept.reduce((sum, { content }) => sum + content.length, 0);
  while (kept.length > 1 && chars() > MAX_SENT_CHARS) kept.splice(0, 2);
  return kept;
}

function requestOf(messages: readonly ChatMessage[], flags: ChatFlags): ChatRequest {
  must(messages.at(-1)?.content !== '', 'OPTION', 'text: expected one character or more');
  must(!(flags.raw && flags.system), 'OPTION', '--raw leaves no place for --system');
  const system = flags.system === undefined ? [] : [{ role: 'system', content: flags.system }];
  const question = flags.raw ? { prompt: messages.at(-1)?.content } : { messages: [...system, ...messages] };
  const options = {
    max_tokens: flags.maxTokens,
    temperature: flags.temperature,
    top_k: flags.topK,
    top_p: flags.topP,
    min_p: flags.minP,
    repetition_penalty: flags.repetitionPenalty,
    stop: flags.stop,
    seed: flags.seed,
  };
  const parsed = chatRequestSchema.safeParse({ ...question, ...options });
  must(parsed.success, 'OPTION', () => {
    const issue = parsed.error?.issues[0];
    return `${issue?.path.join('.') || 'text'}: ${issue?.message}`;
  });
  return parsed.data;
}

/** A model may write anything: nothing of it steers the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, '\ufffd');
}
