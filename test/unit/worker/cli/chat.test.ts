import assert from 'node:assert/strict';
import { PassThrough, type Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { Command } from 'commander';
import { ChatServer } from '#test/helpers/chat-server.ts';
import { register } from '#worker/cli/chat.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';

describe('aiblock chat', () => {
  let server: ChatServer;
  before(async () => {
    server = await ChatServer.start();
  });
  after(() => server.close());

  async function run(args: string[], stdin: Readable & { isTTY?: boolean } = new PassThrough()) {
    const printed = { out: '', err: '' };
    const program = new Command().exitOverride();
    const environment = {
      settings: { coordinatorUrl: server.url },
      signal: new AbortController().signal,
      stdin,
      out: (text: string) => {
        printed.out += text;
      },
      err: (text: string) => {
        printed.err += text;
      },
    };
    register(program, environment as unknown as CommandEnvironment);
    server.questions.length = 0;
    await program.parseAsync(['chat', ...args], { from: 'user' });
    return printed;
  }

  function typed(text: string, isTTY = false): Readable & { isTTY?: boolean } {
    const stdin: PassThrough & { isTTY?: boolean } = new PassThrough();
    stdin.isTTY = isTTY;
    stdin.end(text);
    return stdin;
  }

  it('asks with every flag, and prints the answer without what steers a terminal', async () => {
    server.says('Call', ' me\u001b[2J');
    const flags =
      '--system brief --max-tokens 9 --temperature 0.5 --top-k 5 --top-p 0.9 --min-p 0.1 --repetition-penalty 1.2 --stop A --stop B --seed 7';
    assert.equal((await run(['who?', ...flags.split(' ')])).out, 'Call me\ufffd[2J\n');
    assert.deepEqual(server.questions, [
      {
        messages: [
          { role: 'system', content: 'brief' },
          { role: 'user', content: 'who?' },
        ],
        max_tokens: 9,
        temperature: 0.5,
        top_k: 5,
        top_p: 0.9,
        min_p: 0.1,
        repetition_penalty: 1.2,
        stop: ['A', 'B'],
        seed: 7,
      },
    ]);
    await run(['The whale', '--raw']);
    assert.deepEqual(server.questions, [{ prompt: 'The whale', max_tokens: 64 }]);
  });

  it('keeps what was said in a conversation at a terminal, also after an error', async () => {
    let count = 0;
    const done = {
      type: 'done',
      tokens: 1,
      finish_reason: 'stop',
      model_root: '0'.repeat(64),
      height: 3,
    } as const;
    server.answer = (say) => {
      count += 1;
      if (count === 2)
        return say({ type: 'error', error: { code: 'NO_WORKER', message: 'none', details: {} } });
      say({ type: 'token', text: `answer ${count}` });
      say(done);
    };
    const printed = await run([], typed('one\n\ntwo\nthree\n', true));
    assert.match(printed.out, /answer 1\n> .*answer 3\n> \n$/s);
    assert.match(printed.err, /NO_WORKER/);
    assert.deepEqual(
      server.questions.at(-1)?.messages?.map(({ role, content }) => `${role}: ${content}`),
      ['user: one', 'assistant: answer 1', 'user: three'],
    );
  });

  it('takes each line of other input as a question of its own, as JSON where asked', async () => {
    server.says('yes');
    const { out } = await run(['--json'], typed('one\ntwo\n'));
    assert.deepEqual(
      server.questions.map(({ messages }) => messages?.map(({ content }) => content)),
      [['one'], ['two']],
    );
    const types = out.trim().split('\n');
    assert.deepEqual(
      types.map((line) => (JSON.parse(line) as { type: string }).type),
      ['token', 'done', 'token', 'done'],
    );
  });

  it('leaves out the oldest of a long conversation', async () => {
    server.says('yes');
    const line = 'x'.repeat(9_000);
    await run([], typed(`${line}\n${line}\n${line}\nlast\n`, true));
    const sent = server.questions.at(-1)?.messages?.map(({ content }) => content.length);
    assert.deepEqual(sent, [9_000, 3, 9_000, 3, 4]);
  });

  it('PAYMENT: tells which options pay, where no key is named', async () => {
    server.answer = (say) =>
      say({ type: 'error', error: { code: 'PAYMENT', message: 'expected an allowance', details: {} } });
    await assert.rejects(run(['who?']), {
      code: 'PAYMENT',
      message: /^expected an allowance; .*--keystore .*--spend /,
    });
  });

  it('OPTION: refuses what the API would not take', async () => {
    await assert.rejects(run(['--raw', '--system', 'x', 'y']), { code: 'OPTION' });
    await assert.rejects(run(['']), { code: 'OPTION' });
    await assert.rejects(run(['x', '--stop', '']), { code: 'OPTION', message: /stop/ });
  });
});
