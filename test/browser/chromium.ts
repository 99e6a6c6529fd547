import { spawn, spawnSync } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';
import { executablePath } from '../../src/runtime/config.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The path of a Chromium that starts. */
    chromium: string;
  }
}

const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
/** Without a font, pages are measured and pictured empty. */
const packages = ['chromium', 'fonts-dejavu-core'];
const installTimeoutMs = 15 * 60 * 1000;

/** Finds a Chromium for the suite; a fresh Debian gets its own. */
export default async function provideChromium(project: TestProject): Promise<void> {
  const path = named() ?? found() ?? (await installed());
  const { status, stdout, stderr, error } = spawnSync(path, ['--version'], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (status !== 0) throw new Error(`${path} does not start: ${error?.message ?? stderr.trim()}`);
  console.log(`browser: using ${path}, ${stdout.trim()}`);
  project.provide('chromium', path);
}

function named(): string | undefined {
  const path = process.env['CURFEW_TEST_CHROMIUM'];
  return path === '' ? undefined : path;
}

const found = (): string | undefined =>
  names.map((name) => executablePath(name)).find((path) => path !== undefined);

async function installed(): Promise<string> {
  const apt = executablePath('apt-get');
  if (apt === undefined || process.getuid?.() !== 0)
    throw new Error(
      `no Chromium here: install ${packages.join(' and ')} (as root on Debian this is done by itself), or name one in CURFEW_TEST_CHROMIUM`,
    );
  console.log(`browser: no Chromium here; installing ${packages.join(' and ')} with apt-get`);
  await patiently(apt, ['update']);
  await patiently(apt, ['install', '--yes', '--no-install-recommends', ...packages]);
  const path = found();
  if (path === undefined) throw new Error('apt-get installed chromium, but there is none on PATH');
  return path;
}

const attempts = 6;
const retryMs = 10_000;

/** Tries again: another apt-get may hold a lock, or a mirror be away. */
async function patiently(apt: string, args: readonly string[]): Promise<void> {
  const options = ['-q', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3'];
  for (let attempt = 1; ; attempt += 1) {
    const { code, output } = await run(apt, [...options, ...args]);
    if (code === 0) return;
    if (attempt === attempts) throw new Error(`apt-get ${args.join(' ')} failed:\n${output}`);
    await setTimeout(retryMs);
  }
}

async function run(command: string, args: readonly string[]): Promise<{ code: number; output: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; output: string }>();
  const child = spawn(command, args, {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: installTimeoutMs,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output = `${output}${chunk.toString()}`.slice(-4000)));
  child.on('error', (thrown) => resolve({ code: 1, output: thrown.message }));
  child.on('close', (code) => resolve({ code: code ?? 1, output }));
  return await promise;
}
