// Prepares a fresh checkout: installs the packages of the lock file, which include the right Node. It is
// plain JavaScript without dependencies, because it runs first, on the Node that came with npm.
//
//   node scripts/setup.mjs                     install what is missing
//   node scripts/setup.mjs SCRIPT [ARG ...]    then run SCRIPT under the project's own Node

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const modules = join(root, 'node_modules');
const stamp = join(modules, '.curfew-lock');
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'curfew');
const oldestNode = 24;

const say = (line) => process.stdout.write(`setup: ${line}\n`);

function fail(message) {
  process.stderr.write(`setup: ${message}\n`);
  process.exit(1);
}

const lockDigest = () =>
  createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');

const isInstalled = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === lockDigest();

function install() {
  say(`installing packages from the lock file (about 170 MB to download; cached in ${cache})`);
  const started = Date.now();
  const result = spawnSync(
    'npm',
    ['ci', '--loglevel=error', '--fetch-retries=1', `--cache=${join(cache, 'npm')}`],
    {
      cwd: root,
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
    },
  );
  if (result.error)
    fail(`npm could not be started (${result.error.message}); install npm, which comes with Node.js`);
  if (result.status !== 0) {
    process.stderr.write(result.stderr);
    fail('npm ci failed; check the network and the npm registry settings, then run the command again');
  }
  writeFileSync(stamp, lockDigest());
  say(`packages installed in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

const isNewEnough = (node) =>
  spawnSync(node, ['-e', `process.exit(+process.versions.node.split('.')[0] >= ${oldestNode} ? 0 : 1)`])
    .status === 0;

function ownNode() {
  const packaged = readdirSync(modules)
    .filter((name) => name.startsWith('node-linux-'))
    .map((name) => join(modules, name, 'bin', 'node'));
  const found = [...packaged, process.execPath].find(isNewEnough);
  if (found === undefined)
    fail(
      `no Node ${oldestNode} for ${process.platform} ${process.arch}; install Node ${oldestNode} or newer`,
    );
  return found;
}

if (!isInstalled()) install();

const [script, ...args] = process.argv.slice(2);
if (script !== undefined) {
  const child = spawn(ownNode(), [script, ...args], { cwd: root, stdio: 'inherit' });
  // Ctrl-C in a terminal reaches the child as well; wait until it has cleaned up.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
}
