import { spawn } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { executablePath } from '../src/demo/executables.ts';

// Programs that a suite needs and a fresh Debian lacks.

/** Whether this is a Debian, and we may install packages. */
export const canInstall = (): boolean => executablePath('apt-get') !== undefined && process.getuid?.() === 0;

export async function install(packages: readonly string[]): Promise<void> {
  await patiently(['update']);
  await patiently(['install', '--yes', '--no-install-recommends', ...packages]);
}

const installTimeoutMs = 15 * 60 * 1000;
const attempts = 6;
const retryMs = 10_000;

/** Tries again: another apt-get may hold a lock, or a mirror be away. */
async function patiently(args: readonly string[]): Promise<void> {
  const options = ['-q', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3'];
  for (let attempt = 1; ; attempt += 1) {
    const { code, output } = await run('apt-get', [...options, ...args]);
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
