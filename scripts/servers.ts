// Runs what speaks to Redis against each server it is made for: Redis 6.2, the Redis on PATH, Valkey.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { findRedis, findValkey } from '../src/demo/programs.ts';
import { executablePath } from '../src/runtime/config.ts';

const root = join(import.meta.dirname, '..');
const suites = [
  'publisher/publisher',
  'publisher/log-scripts',
  'publisher/truth-log',
  'revocation/redis-tls',
  'command/log',
];
const say = (line: string): void => console.log(`servers: ${line}`);

const path = process.env['PATH'] ?? '';
const own = executablePath('redis-server');
const withoutOwn = path
  .split(delimiter)
  .filter((folder) => executablePath('redis-server', { PATH: folder }) === undefined);
process.env['PATH'] = withoutOwn.join(delimiter);
const programs = [
  (await findRedis({ announce: say })).command,
  (await findValkey({ announce: say })).command,
];
if (own !== undefined) programs.push(own);
else say("no redis-server is on PATH: install your distribution's to have it tested too");

mkdirSync(join(root, '.cache'), { recursive: true });
const outcomes = programs.map((program) => ({ version: versionOf(program), isGreen: runOver(program) }));
for (const { version, isGreen } of outcomes) say(`${version}: ${isGreen ? 'passed' : 'FAILED'}`);
const isWhole = own !== undefined || process.env['CI'] !== 'true';
process.exit(isWhole && outcomes.every(({ isGreen }) => isGreen) ? 0 : 1);

function versionOf(program: string): string {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return stdout.split(' sha=', 1)[0]?.trim() ?? program;
}

function runOver(program: string): boolean {
  const folder = mkdtempSync(join(root, '.cache', 'server-'));
  symlinkSync(program, join(folder, 'redis-server'));
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', ...suites.map((suite) => `test/${suite}`)];
  const env = { ...process.env, PATH: `${folder}${delimiter}${path}` };
  const { status } = spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
  rmSync(folder, { recursive: true, force: true });
  return status === 0;
}
