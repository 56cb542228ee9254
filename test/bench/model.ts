import { readdir } from 'node:fs/promises';
import type { Section } from '#test/bench/model/section.ts';
import { type Choice, figure, type Report } from '#test/bench/report.ts';
import { type BackendName, startBackend } from '#worker/model/backend/start.ts';
import { buildKernels } from '#worker/model/kernels/build.mjs';

const FOLDER = new URL('./model/', import.meta.url);

/** The model: evaluation, training, decoding, loading; each row beside its anchor of the same run. */
export async function bench(report: Report, { only, backend }: Choice): Promise<void> {
  const sections = await readSections();
  const unknown = only.find((name) => !sections.has(name));
  if (unknown !== undefined) {
    throw new Error(`no section "${unknown}"; there is: ${[...sections.keys()].join(', ')}`);
  }
  await buildKernels();
  await startBackend(backend as BackendName);
  for (const [name, section] of sections) {
    if (only.length > 0 && !only.includes(name)) continue;
    await section.rows({
      backend,
      row: (measured) => report(figure({ name: `model ${name}`, ...measured })),
    });
  }
}

/** The files of the folder that export `rows`, by name, in the order of their names. */
async function readSections(): Promise<Map<string, Section>> {
  const sections = new Map<string, Section>();
  for (const file of (await readdir(FOLDER)).filter((name) => name.endsWith('.ts')).sort()) {
    const module: Partial<Section> = await import(new URL(file, FOLDER).href);
    if (module.rows) sections.set(file.slice(0, -'.ts'.length), { rows: module.rows });
  }
  return sections;
}
