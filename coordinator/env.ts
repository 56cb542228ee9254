import { type HubAccess, parseHubAccess } from '#coordinator/import/hub/access.ts';
import { type Environment, parseEnvironment } from '#shared/env.ts';

/** The one place where the coordinator reads the environment. OPTION with every fault at once. */
export function readEnvironment(): Environment {
  return parseEnvironment(process.env);
}

/** What the variables of Hugging Face's tools say of the hub. OPTION. */
export function readHubAccess(): HubAccess {
  return parseHubAccess(process.env);
}

/** What a child process of ours gets: the same environment, with `changes` over it. */
export function childEnvironment(changes: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...process.env, ...changes };
}
