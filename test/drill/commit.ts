import { setTimeout as sleep } from 'node:timers/promises';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { modelSchema, type SubmissionView, submissionSchema } from '#shared/api/schemas.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { figure, type Goal, type Report } from '#test/bench/report.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { FakeWorker } from '#test/helpers/fake-worker.ts';
import { fileOf, post } from '#test/helpers/small-genesis.ts';
import { TestCoordinator, TOKEN } from '#test/helpers/test-coordinator.ts';
import { until } from '#test/helpers/until.ts';

const KILLS = 25;
/** Kills fall within this time after a submission was acknowledged: before, in and after its commit. */
const SPREAD_MS = 400;
const TENSORS_PER_SUBMISSION = 4;

/**
 * kill -9 of the coordinator around commits. What the driver saw acknowledged, paid or at a height is the oracle: after
 * each restart nothing of it may be gone, in the end everything is paid once, and `aiblock verify` finds nothing.
 */
export async function drill(report: Report): Promise<void> {
  const inside = await TestCoordinator.start();
  await inside.stop();
  const run = new Run(inside.dataDir);
  try {
    await run.start();
    for (let i = 0; i < KILLS; i++) await run.killOnce(i);
    await run.finish();
    for (const [metric, value] of Object.entries(run.counts)) {
      const goal = GOALS[metric];
      report(figure({ name: 'commit', metric, value, unit: '', ...(goal ? { goal } : {}) }));
    }
  } finally {
    await run.stop();
    await inside.destroy();
  }
}

const NONE: Goal = { on: 'value', atMost: 0 };
const GOALS: Readonly<Record<string, Goal>> = {
  'acknowledged submissions lost': NONE,
  'heights that went back': NONE,
  'payments too many or too few': NONE,
  'faults found by verify': NONE,
};

class Run {
  readonly counts = {
    kills: 0,
    'kills between received and paid': 0,
    submissions: 0,
    'acknowledged submissions lost': 0,
    'heights that went back': 0,
    'payments too many or too few': 0,
    'faults found by verify': 0,
  };
  readonly #dataDir: string;
  readonly #acknowledged: string[] = [];
  readonly #uniform = seededUniform(1);
  readonly #key = newKeyPair();
  #height = 0;
  #child: ChildHandle | undefined;
  #worker: FakeWorker | undefined;
  #url = '';

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  async start(): Promise<void> {
    const child = ChildHandle.aiblock(
      'coordinator',
      ['coordinator', '--data-dir', this.#dataDir, '--port', '0'],
      { AIBLOCK_WORKER_TOKEN: TOKEN },
    );
    this.#child = child;
    const line = await child.line((text) => text.startsWith('{"url":') && text);
    this.#url = (JSON.parse(line) as { url: string }).url;
    this.#worker = await FakeWorker.attach({ url: this.#url, key: this.#key, token: TOKEN });
  }

  async stop(): Promise<void> {
    await this.#worker?.close();
    await this.#child?.stop();
  }

  async killOnce(round: number): Promise<void> {
    const id = await this.#submit(round);
    await sleep(this.#uniform() * SPREAD_MS);
    const before = await this.#view(id);
    this.#height = Math.max(this.#height, (await this.#model()).head.index);
    this.#child?.kill('SIGKILL');
    await this.#child?.ended;
    this.counts.kills += 1;
    if (before?.state !== 'paid') this.counts['kills between received and paid'] += 1;
    await this.start();
    const after = await this.#view(id);
    if (!after || (before?.state === 'paid' && after.state !== 'paid'))
      this.counts['acknowledged submissions lost'] += 1;
    if ((await this.#model()).head.index < this.#height) this.counts['heights that went back'] += 1;
    await until('it is paid', async () => (await this.#view(id))?.state === 'paid');
  }

  /** Minted = submissions × reward, and a full audit. */
  async finish(): Promise<void> {
    const views = await Promise.all(this.#acknowledged.map((id) => this.#view(id)));
    const journal = (await this.#get('/journal')) as { minted: string };
    const perSubmission = (BigInt(views[0]?.reward ?? '0') * 10n) / 6n;
    const paid = views.filter((view) => view?.state === 'paid').length;
    const wrong = perSubmission === 0n ? -1n : BigInt(journal.minted) / perSubmission - BigInt(paid);
    this.counts.submissions = paid;
    this.counts['payments too many or too few'] = Math.abs(Number(wrong));
    const audit = ChildHandle.aiblock('verify', ['verify', '--coordinator', this.#url]);
    const { code } = await audit.ended;
    this.counts['faults found by verify'] = code === 0 ? 0 : 1;
    if (code !== 0) console.error(audit.describe());
  }

  async #submit(round: number): Promise<string> {
    const model = await this.#model();
    const names = model.tensors.slice(-TENSORS_PER_SUBMISSION).map(({ name }) => name);
    const tensors = Object.fromEntries(names.map((name, i) => [name, 2 + round + i / 64]));
    const file = fileOf(model, { key: newKeyPair(), tensors });
    const { code } = await post(this.#url, file);
    if (code !== undefined) throw new Error(`refused with ${code}`);
    this.#acknowledged.push(file.id);
    return file.id;
  }

  async #view(id: string): Promise<SubmissionView | undefined> {
    const parsed = submissionSchema.safeParse(await this.#get(`/submissions/${id}`));
    return parsed.data;
  }

  async #model() {
    return modelSchema.parse(await this.#get('/model'));
  }

  async #get(path: string): Promise<unknown> {
    return (await fetch(new URL(path, this.#url))).json();
  }
}
