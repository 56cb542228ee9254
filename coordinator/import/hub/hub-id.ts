import { must } from '#shared/errors/pool-error.ts';

/** A model of the Hub: `ORG/NAME`, of it a GGUF file (`ORG/NAME/FILE.gguf`), at a revision (`@REVISION`). */
export interface HubId {
  readonly repo: string;
  readonly file: string | null;
  readonly revision: string | null;
}

const PART = '[A-Za-z0-9_][\\w.-]{0,95}';
const HUB_ID = new RegExp(
  `^(?<repo>${PART}/${PART})(?:/(?<file>${PART}(?:/${PART})*\\.gguf))?(?:@(?<revision>[\\w][\\w./-]{0,199}))?$`,
);

/** `null` for what cannot be one. */
export function parseHubId(text: string): HubId | null {
  const { repo, file, revision } = HUB_ID.exec(text)?.groups ?? {};
  if (repo === undefined) return null;
  must(!text.includes('..'), 'OPTION', `--model: ${JSON.stringify(text)} is not an id of the Hub`);
  return { repo, file: file ?? null, revision: revision ?? null };
}
