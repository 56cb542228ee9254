import { nearest } from '#shared/env.ts';
import { must } from '#shared/errors/pool-error.ts';

/** How many names a refusal suggests. */
const SUGGESTIONS = 3;

/**
 * The names that fit one of the patterns, in their order: `*` stands for any characters, also for none. No pattern:
 * all names. OPTION where a pattern fits none.
 */
export function chooseTensors(names: readonly string[], patterns: readonly string[]): string[] {
  if (patterns.length === 0) return [...names];
  const tests = patterns.map((pattern) => {
    const test = toRegExp(pattern);
    must(
      names.some((name) => test.test(name)),
      'OPTION',
      () =>
        `--only ${pattern}: no tensor has such a name; near it are ${nearestNames(pattern, names).join(', ')}`,
    );
    return test;
  });
  return names.filter((name) => tests.some((test) => test.test(name)));
}

function toRegExp(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}

function nearestNames(pattern: string, names: readonly string[]): string[] {
  const left = new Set(names);
  const found: string[] = [];
  while (found.length < SUGGESTIONS && left.size > 0) {
    const name = nearest(pattern, [...left]);
    found.push(name);
    left.delete(name);
  }
  return found;
}
