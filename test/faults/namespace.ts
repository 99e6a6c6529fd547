import { spawnSync } from 'node:child_process';
import { onTestFinished } from 'vitest';
import { findRedis } from '../../src/demo/programs.ts';
import { eventually, startProgram, tail } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';

/** A Redis in a separate network namespace. */
export type DistantRedis = {
  readonly url: string;
  /** From now on every packet to it and from it vanishes. */
  dropPackets(): void;
  passPackets(): void;
};

const port = '6379';

/**
 * Starts a Redis in a network namespace at the end of a virtual cable.
 * @returns a reason, if this machine can't do it
 */
export async function startDistantRedis(): Promise<DistantRedis | string> {
  const name = `curfew-${process.pid}`;
  const [near, far] = [`cfn${process.pid}`.slice(0, 15), `cff${process.pid}`.slice(0, 15)];
  const subnet = `10.213.${process.pid % 256}`;
  const inside = (...words: readonly string[]): readonly string[] => ['ip', 'netns', 'exec', name, ...words];
  onTestFinished(() => {
    run(['ip', 'netns', 'del', name]);
    run(['ip', 'link', 'del', near]);
  });
  const steps = [
    ['ip', 'netns', 'add', name],
    ['ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', name],
    ['ip', 'addr', 'add', `${subnet}.1/30`, 'dev', near],
    ['ip', 'link', 'set', near, 'up'],
    inside('ip', 'addr', 'add', `${subnet}.2/30`, 'dev', far),
    inside('ip', 'link', 'set', far, 'up'),
    inside('iptables', '-L'),
  ];
  for (const step of steps) {
    const problem = run(step);
    if (problem !== undefined) return `${step.join(' ')}: ${problem}`;
  }
  const redis = await findRedis();
  const own = ['--port', port, '--bind', `${subnet}.2`, '--protected-mode', 'no', '--save', ''];
  const [command = '', ...args] = inside(redis.command, ...redis.args, ...own, '--dir', temporaryDirectory());
  const program = startProgram('distant-redis', command, args);
  onTestFinished(async () => void (await program.stop('SIGKILL')));
  await eventually(
    `the distant Redis starts: ${tail(program.printed())}`,
    () => program.printed().includes('Ready to accept connections') || undefined,
  );
  const rule = (change: '-A' | '-D'): void => {
    for (const chain of ['INPUT', 'OUTPUT']) run(inside('iptables', change, chain, '-j', 'DROP'));
  };
  return {
    url: `redis://${subnet}.2:${port}`,
    dropPackets: () => rule('-A'),
    passPackets: () => rule('-D'),
  };
}

/** @returns what went wrong, if anything did */
function run([command = '', ...args]: readonly string[]): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return undefined;
  return error?.message ?? stderr.trim().split('\n')[0] ?? `status ${status}`;
}
