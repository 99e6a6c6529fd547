import { randomInt } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { outputFile } from './output.ts';

export const repository = join(import.meta.dirname, '..');

export type RunningProgram = {
  readonly child: ChildProcess;
  readonly pid: number;
  /** All it has printed. */
  printed(): string;
  /** Sends a signal (default SIGTERM) and resolves with the exit code, or with the signal that ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>;
  readonly exited: Promise<number | NodeJS.Signals>;
};

/** Starts a program with its output kept for the search for credentials. */
export function startProgram(
  name: string,
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): RunningProgram {
  const file = outputFile(name);
  const child = spawn(command, args, {
    cwd: repository,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const copy = createWriteStream(file);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      copy.write(chunk);
    });
  }
  const { promise: exited, resolve } = Promise.withResolvers<number | NodeJS.Signals>();
  child.on('error', (error) => {
    text += error.message;
    resolve(127);
  });
  child.on('close', (code, signal) => copy.end(() => resolve(signal ?? code ?? 1)));
  return {
    child,
    pid: child.pid ?? -1,
    printed: () => text,
    exited,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return exited;
    },
  };
}

/** Starts `bin/curfew` with the given arguments. */
export const startCurfew = (
  name: string,
  args: readonly string[],
  env: Record<string, string> = {},
): RunningProgram => startProgram(name, join(repository, 'bin', 'curfew'), args, env);

const givenPorts = new Set<number>();
// Each worker of the test runner has ports of its own: a port stays free for its test while a program
// restarts.
const portsOfWorker = 4000;
const firstPort = 11_000 + portsOfWorker * (Number(process.env['VITEST_POOL_ID'] ?? 0) % 5);

/**
 * A TCP port of 127.0.0.1 that is free now and that no other worker of this run is given. It lies below the
 * range from which the kernel picks ports for outgoing connections and for servers that name none.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(firstPort, firstPort + portsOfWorker);
    if (givenPorts.has(port)) continue;
    givenPorts.add(port);
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  server.once('error', () => resolve(false));
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  return promise;
}

/** Asks until the answer is defined; fails with `what` after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, 10);
    await promise;
  }
}

/** The last lines of a program's output, for a failure message. */
export const tail = (text: string, lines = 15): string => text.trim().split('\n').slice(-lines).join('\n');
