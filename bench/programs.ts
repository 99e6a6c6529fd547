import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

export const repository = join(import.meta.dirname, '..');

export type RunningProgram = {
  readonly name: string;
  readonly pid: number;
  /** The last lines it printed. */
  tail(): string;
  hasEnded(): boolean;
  stop(): Promise<void>;
};

export type ProgramOptions = {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The file for its output. */
  readonly folder: string;
  /** Beside this process's; undefined leaves out a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
};

/**
 * Starts a program that writes its output directly to a file, so that reading it takes no CPU time of the
 * benchmark.
 */
export function startProgram({ name, command, args, folder, env = {} }: ProgramOptions): RunningProgram {
  const file = join(folder, `${name}.log`);
  const output = openSync(file, 'w');
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  let ended = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = (): void => {
    ended = true;
    resolve();
  };
  child.on('error', end);
  child.on('exit', end);
  return {
    name,
    pid: child.pid ?? -1,
    tail: () => readFileSync(file, 'utf8').trim().split('\n').slice(-8).join('\n'),
    hasEnded: () => ended,
    stop: async () => {
      if (ended) return;
      child.kill('SIGTERM');
      const kill = setTimeout(() => child.kill('SIGKILL'), 12_000);
      await promise;
      clearTimeout(kill);
    },
  };
}

/** Calls a probe every few milliseconds until it is true. */
export async function until(
  program: RunningProgram,
  isSo: () => Promise<boolean>,
  options: { timeoutMs?: number; everyMs?: number } = {},
): Promise<void> {
  const { timeoutMs = 30_000, everyMs = 5 } = options;
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await isSo().catch(() => false))) {
    if (program.hasEnded()) throw new Error(`${program.name} ended:\n${program.tail()}`);
    if (performance.now() > deadlineMs)
      throw new Error(`${program.name} was not ready in ${timeoutMs} ms:\n${program.tail()}`);
    await pause(everyMs);
  }
}

export async function pause(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(() => resolve(), ms);
  await promise;
}

/** Runs a command to its end. @throws if it fails, with its output */
export function runToEnd(command: string, args: readonly string[], cwd: string): void {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`);
}

/** TCP ports of 127.0.0.1 that are free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(async (server) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.listen(0, '127.0.0.1', () => resolve());
      await promise;
      const address = server.address();
      return typeof address === 'object' && address !== null ? address.port : 0;
    }),
  );
  for (const server of servers) server.close();
  return ports;
}

export async function isOk(url: string): Promise<boolean> {
  return (await fetch(url)).ok;
}
