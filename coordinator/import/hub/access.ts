import { must } from '#shared/errors/pool-error.ts';

/** The variables of Hugging Face's own tools that are honoured, with the text that the help shows. */
export const HUB_VARIABLES = {
  HF_TOKEN: 'token for models that are private or ask for an agreement',
  HF_ENDPOINT: 'address of the hub (default https://huggingface.co)',
} as const;

export interface HubAccess {
  readonly endpoint: string;
  readonly token: string | undefined;
}

/** OPTION for an address that is no URL or a token that is none; the token itself is never shown. */
export function parseHubAccess(variables: Readonly<Record<string, string | undefined>>): HubAccess {
  const endpoint = variables.HF_ENDPOINT?.trim() || 'https://huggingface.co';
  must(
    URL.canParse(endpoint) && /^https?:$/.test(new URL(endpoint).protocol),
    'OPTION',
    `HF_ENDPOINT: expected an http or https URL, got ${JSON.stringify(endpoint)}`,
  );
  const token = variables.HF_TOKEN?.trim() || undefined;
  must(
    token === undefined || /^hf_\w+$/.test(token),
    'OPTION',
    'HF_TOKEN: expected a token that begins with hf_',
  );
  return { endpoint: endpoint.replace(/\/+$/, ''), token };
}
