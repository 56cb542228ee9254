// Programs of the system that the pool or its tests run: found on the PATH, or installed where that needs no
// password.
import { capture, findProgram, run, step } from './step.mjs';

/** Names on the PATH, and the package by package manager. */
const TOOLS = {
  'redis-server': {
    programs: ['redis-server'],
    packages: { 'apt-get': 'redis-server', dnf: 'redis', apk: 'redis', brew: 'redis' },
  },
  chromium: {
    programs: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
    packages: { 'apt-get': 'chromium', dnf: 'chromium', apk: 'chromium' },
  },
  prometheus: {
    programs: ['prometheus'],
    packages: {
      'apt-get': 'prometheus',
      dnf: 'golang-github-prometheus',
      apk: 'prometheus',
      brew: 'prometheus',
    },
  },
};

/**
 * Debian starts a service with its package, and again at every boot: the policy file (invoke-rc.d(8)) and
 * `systemctl disable` prevent both. A policy that is there already is left as it is.
 */
const APT_INSTALL = `
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=60 "$@"
for service in "$@"; do
  if command -v systemctl > /dev/null; then systemctl disable --quiet "$service" 2> /dev/null || true; fi
done
`;

const INSTALL = {
  'apt-get': (packages) => ['sh', '-c', APT_INSTALL, 'install', ...packages],
  dnf: (packages) => ['dnf', 'install', '-y', '-q', ...packages],
  apk: (packages) => ['apk', 'add', '-q', ...packages],
  brew: (packages) => ['brew', 'install', '--quiet', ...packages],
};

/** Installs what is missing of these tools. Returns those that are still missing, with the reason. */
export async function installTools(names) {
  const missing = [];
  for (const name of names) if (!(await findProgram(...TOOLS[name].programs))) missing.push(name);
  if (missing.length === 0) return [];
  const way = await findWay();
  if (way === undefined) {
    return missing.map((name) => ({ name, why: 'no package manager that works without a password' }));
  }
  const failed = [];
  // One by one: what one distribution lacks must not keep the others out.
  for (const name of missing) {
    const why = await install(name, way);
    if (why !== undefined) failed.push({ name, why });
  }
  return failed;
}

async function install(name, { manager, sudo }) {
  const wanted = TOOLS[name].packages[manager];
  if (wanted === undefined) return `${manager} has no package for it`;
  const [program, ...args] = [...sudo, ...INSTALL[manager]([wanted])];
  try {
    await step(`${name}, by ${manager}`, async () => void (await run(program, args)));
  } catch (error) {
    return error.message;
  }
  const found = await findProgram(...TOOLS[name].programs);
  return found ? undefined : `${manager} installed ${wanted}, but no ${name} is on the PATH`;
}

/** The package manager here, and how to be allowed to use it; undefined if there is no way. */
async function findWay() {
  for (const manager of Object.keys(INSTALL)) {
    if (!(await findProgram(manager))) continue;
    if (manager === 'brew' || process.getuid?.() === 0) return { manager, sudo: [] };
    if ((await capture('sudo', ['-n', 'true'])).code === 0) return { manager, sudo: ['sudo', '-n'] };
  }
  return undefined;
}
