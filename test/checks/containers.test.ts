import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { ENVIRONMENT } from '#shared/env.ts';
import { repositoryFile, repositoryPath } from '#test/helpers/repository.ts';

const COMPOSE = 'docker-compose.yml';
const DOCKERFILES = ['coordinator/deploy/Dockerfile', 'worker/deploy/Dockerfile'];

const matches = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map((match) => match[1] as string);

/** The text of one service: from its name to the next line that is indented as little. */
async function service(name: string): Promise<string> {
  const compose = await repositoryFile(COMPOSE);
  const found = new RegExp(`^  ${name}:\\n((?:    .*\\n|\\n)+)`, 'm').exec(compose)?.[1];
  assert.ok(found, `${COMPOSE} has the service ${name}`);
  return found;
}

describe('containers', () => {
  it('give our programs only variables that exist', async () => {
    for (const file of [COMPOSE, ...DOCKERFILES]) {
      const used = matches(await repositoryFile(file), /\b(AIBLOCK_[A-Z_]+)\b/g);
      assert.ok(used.length > 0, file);
      for (const name of used) assert.ok(Object.hasOwn(ENVIRONMENT, name), `${file}: ${name}`);
    }
  });

  it('mount and copy what is there', async () => {
    const mounted = matches(await repositoryFile(COMPOSE), /- \.\/([^:]+):/g);
    const built = matches(await repositoryFile(COMPOSE), /dockerfile: (\S+) \}/g);
    assert.ok(mounted.length >= 3);
    assert.deepEqual(built.sort(), DOCKERFILES);
    const copied: string[] = [];
    for (const file of DOCKERFILES)
      for (const line of matches(await repositoryFile(file), /^COPY (?!--from)(.*) \S+$/gm))
        copied.push(...line.split(' '));
    for (const path of [...mounted, ...copied]) await access(repositoryPath(path));
  });

  it('let everything that the Dockerfiles copy through .dockerignore', async () => {
    const ignore = (await repositoryFile('.dockerignore')).split('\n');
    for (const file of DOCKERFILES)
      for (const line of matches(await repositoryFile(file), /^COPY (?!--from)(.*) \S+$/gm))
        for (const path of line.split(' ')) assert.ok(ignore.includes(`!${path}`), `${file}: ${path}`);
  });

  it('pin every image, and the same Node everywhere', async () => {
    const images = matches(await repositoryFile(COMPOSE), /^ +image: (\S+)$/gm);
    for (const image of images.filter((name) => !name.startsWith('aiblock-')))
      assert.match(image, /^[a-z/]+:v?\d+\.\d+/);
    for (const file of DOCKERFILES)
      assert.deepEqual(
        [...new Set(matches(await repositoryFile(file), /^FROM (\S+)/gm))],
        ['node:22-bookworm-slim'],
      );
  });

  it('publish the ports of coordinator, gateway and Grafana alone, on loopback unless told otherwise', async () => {
    const compose = await repositoryFile(COMPOSE);
    const published = matches(compose, /ports: (.*)/g);
    assert.equal(published.length, 3);
    for (const name of ['coordinator', 'gateway', 'grafana'])
      assert.match(await service(name), /ports: \['\$\{[A-Z_]+:-127\.0\.0\.1:\d+\}:\d+'\]/);
  });

  it('keep Redis append-only, without eviction, and away from workers', async () => {
    const redis = await service('redis');
    assert.match(redis, /--appendonly, 'yes'/);
    assert.match(redis, /--maxmemory-policy, noeviction/);
    assert.match(redis, /networks: \[store\]/);
    for (const name of ['worker', 'judge', 'miner']) assert.match(await service(name), /networks: \[pool\]/);
  });

  it('check the health of every service that others wait for', async () => {
    for (const name of ['redis', 'prometheus', 'grafana']) assert.match(await service(name), /healthcheck:/);
    for (const file of DOCKERFILES) assert.match(await repositoryFile(file), /^HEALTHCHECK /m);
  });

  it('run as a user without rights, by one launcher that gets the signals', async () => {
    const commands = ['coordinator', 'worker'];
    for (const [i, file] of DOCKERFILES.entries()) {
      const text = await repositoryFile(file);
      assert.match(text, /^USER node$/m);
      assert.match(text, /^ENTRYPOINT \["node", "coordinator\/cli\/aiblock\.mjs"\]$/m);
      assert.match(text, new RegExp(`^CMD \\["${commands[i]}"\\]$`, 'm'));
    }
  });
});
