import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../runtime/clock.ts';
import { processEnvironment } from '../runtime/config.ts';
import { Fault } from '../runtime/fault.ts';
import { withoutCredentials } from '../runtime/log.ts';

export type Child = {
  readonly name: string;
  readonly logFile: string;
  /** Resolves with the exit code when the process has ended; 1 if it was killed or could not be started. */
  readonly ended: Promise<number>;
  hasEnded(): boolean;
  /** Sends SIGTERM, and SIGKILL after five seconds. */
  stop(): Promise<void>;
};

export type ChildOptions = {
  name: string;
  command: string;
  args: readonly string[];
  /** Folder for its log file. */
  directory: string;
  environment?: Record<string, string>;
  /** Written to its standard input, which is then closed. */
  input?: string;
};

const killAfterMs = 5000;

/**
 * Starts a program in a process group of its own, so that Ctrl-C in a terminal reaches only the demo, which
 * stops its programs in order.
 */
export function startChild(options: ChildOptions): Child {
  const logFile = join(options.directory, `${options.name}.log`);
  const child = spawn(options.command, options.args, {
    cwd: options.directory,
    env: processEnvironment(options.environment),
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const { ended, hasEnded } = watchEnd(child, logFile);
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const stop = async (): Promise<void> => {
    if (hasEnded()) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    await ended;
    clearTimeout(timer);
  };
  return { name: options.name, logFile, ended, hasEnded, stop };
}

function watchEnd(child: ChildProcess, logFile: string): { ended: Promise<number>; hasEnded: () => boolean } {
  const log = createWriteStream(logFile);
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  let over = false;
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  const end = (exitCode: number, line?: string): void => {
    if (over) return;
    over = true;
    log.end(line ?? '', () => resolve(exitCode));
  };
  child.on('error', (error) => end(1, `${error.message}\n`));
  child.on('close', (code) => end(code ?? 1));
  return { ended, hasEnded: () => over };
}

/**
 * Waits until a probe succeeds.
 * @throws ERR_PROGRAM_UNAVAILABLE, with the end of the child's log, if the child ends first, or after
 * `timeoutMs`
 */
export async function untilReady(
  child: Child,
  probe: () => Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + timeoutMs;
  while (!(await probe().catch(() => false))) {
    if (child.hasEnded())
      throw new Fault(
        'ERR_PROGRAM_UNAVAILABLE',
        `${child.name} ended before it was ready:\n${lastLines(child)}`,
      );
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new Fault(
        'ERR_PROGRAM_UNAVAILABLE',
        `${child.name} was not ready in ${timeoutMs / 1000} s:\n${lastLines(child)}`,
      );
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, 25);
    await promise;
  }
}

/** The end of its log, indented. */
export function lastLines(child: Child): string {
  const lines = readFileSync(child.logFile, 'utf8').trim().split('\n').slice(-8);
  return lines.map((line) => `  | ${withoutCredentials(line).slice(0, 400)}`).join('\n');
}
