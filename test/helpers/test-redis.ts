import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { withRedis } from '#coordinator/queue/redis-connection.ts';
import { freePort } from '#test/helpers/free-port.ts';
import { toolPath } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

/** A Redis of a test's own, on a port, which the test may freeze, kill, empty and fill. */
export class TestRedis {
  readonly url: string;
  readonly port: number;
  readonly #args: readonly string[];
  #child: ChildProcess;

  private constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#args = args;
    this.#child = this.#spawn();
  }

  /** Keeps its data in `dir` over a kill. */
  static async start(dir: string, more: readonly string[] = []): Promise<TestRedis> {
    const port = await freePort();
    const durable = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''];
    const redis = new TestRedis(port, [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', dir],
      ...[...durable, ...more],
    ]);
    await redis.answers();
    return redis;
  }

  async answers(): Promise<void> {
    await until('Redis answers', () => withRedis(this, async (r) => (await r.ping()) === 'PONG'));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Without warning. */
  async kill(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  async startAgain(): Promise<void> {
    this.#child = this.#spawn();
    await this.answers();
  }

  async command(name: string, ...args: string[]): Promise<unknown> {
    return withRedis(this, (redis) => redis.call(name, ...args));
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGCONT');
    this.#child.kill('SIGTERM');
    await ended;
  }

  #spawn(): ChildProcess {
    return spawn(toolPath('redis-server') ?? '', this.#args, { stdio: 'ignore' });
  }
}
