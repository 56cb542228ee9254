import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { type ChatRequest, chatRequestSchema } from '#shared/api/schemas.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { type CommandEnvironment, examples, numberOption } from '#worker/cli/command.ts';
import { streamChat } from '#worker/client/chat-stream.ts';

interface ChatFlags {
  readonly coordinator: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly seed?: number;
  readonly json: boolean;
}

/** `aiblock chat`: asks the model at the head. */
export function register(program: Command, environment: CommandEnvironment): void {
  program
    .command('chat')
    .summary('ask the model at the head')
    .description(
      'Asks the model at the head and prints the answer as it is made. Without a prompt, every line read is one.',
    )
    .argument('[prompt]', 'text that the model goes on from')
    .option('--coordinator <url>', 'address of the pool', environment.settings.coordinatorUrl)
    .option('--max-tokens <n>', 'the longest answer (default: 64)', numberOption(1, 1024))
    .option(
      '--temperature <t>',
      '0 takes the likeliest token each time (default: 0.8)',
      numberOption(0, 5, 'any'),
    )
    .option('--seed <n>', 'the same seed gives the same answer of the same head', numberOption(0, 0xffffffff))
    .option('--json', 'one JSON object per line', false)
    .addHelpText(
      'after',
      examples(
        'aiblock chat "Call me"',
        'aiblock chat "The whale" --max-tokens 200 --temperature 0.6 --seed 7',
        'aiblock chat < prompts.txt',
      ),
    )
    .action((prompt: string | undefined, flags: ChatFlags) => {
      return prompt === undefined ? converse(flags, environment) : ask(prompt, flags, environment);
    });
}

async function ask(prompt: string, flags: ChatFlags, environment: CommandEnvironment): Promise<void> {
  const { out, signal } = environment;
  let end = '';
  try {
    for await (const event of streamChat(flags.coordinator, requestOf(prompt, flags), signal)) {
      if (flags.json) out(`${JSON.stringify(event)}\n`);
      else if (event.type === 'token') out(printable(event.text));
      if (!flags.json) end = event.type === 'done' && event.finish_reason === 'length' ? ' …\n' : '\n';
    }
  } finally {
    // Also after Ctrl-C: the terminal's next line begins at its start.
    out(end);
  }
}

/** Line by line; an error of one question does not end a conversation at a terminal. */
async function converse(flags: ChatFlags, environment: CommandEnvironment): Promise<void> {
  const { stdin, out, err, signal } = environment;
  const atTerminal = stdin.isTTY === true && !flags.json;
  const lines = createInterface({ input: stdin, signal });
  if (atTerminal) out('Ctrl-D ends the conversation.\n> ');
  for await (const line of lines) {
    try {
      if (line.trim() !== '') await ask(line, flags, environment);
    } catch (error) {
      if (!atTerminal || !(error instanceof PoolError)) throw error;
      err(`error ${error.code}: ${error.message}\n`);
    }
    if (atTerminal) out('> ');
  }
  if (atTerminal) out('\n');
}

function requestOf(prompt: string, flags: ChatFlags): ChatRequest {
  const parsed = chatRequestSchema.safeParse({
    prompt,
    ...(flags.maxTokens !== undefined && { max_tokens: flags.maxTokens }),
    ...(flags.temperature !== undefined && { temperature: flags.temperature }),
    ...(flags.seed !== undefined && { seed: flags.seed }),
  });
  must(parsed.success, 'OPTION', () => `prompt: ${parsed.error?.issues[0]?.message}`);
  return parsed.data;
}

/** A model may write anything: nothing of it steers the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, '\ufffd');
}
