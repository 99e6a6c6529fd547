import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/runtime/clock.ts';
import {
  createV8Tuning,
  flagToSet,
  startEnvironment,
  startFlags,
  type V8TuningOptions,
} from '../../src/runtime/v8-tuning.ts';
import { eventually } from '../processes.ts';
import { capturedLog } from '../token/fixtures.ts';

let stop = (): Promise<void> | void => {};
afterEach(() => stop());

const pause = async (ms: number): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, ms);
  await promise;
};

async function work(ms: number): Promise<void> {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) {
    const turnMs = performance.now() + 10;
    while (performance.now() < turnMs);
    const { promise, resolve } = Promise.withResolvers<void>();
    setImmediate(resolve);
    await promise;
  }
}

async function startTuning(options: Partial<V8TuningOptions> = {}) {
  const count = { collected: 0 };
  const captured = capturedLog();
  const flags: string[] = [];
  const part = createV8Tuning({
    isReady: () => true,
    clock: systemClock,
    log: captured.log,
    idleMs: 20,
    setFlag: (flag) => flags.push(flag),
    collect: () => {
      count.collected += 1;
    },
    ...options,
  });
  await part.start();
  stop = () => part.stop();
  return { count, flags, part, lines: captured.lines };
}

describe('V8 tuning', () => {
  it('collects once, in an idle interval', async () => {
    const { count } = await startTuning();
    await eventually('it was idle', () => (count.collected > 0 ? true : undefined));
    await pause(100);
    expect(count.collected).toBe(1);
  });

  const atStart = ['--no-allocation-site-pretenuring', '--heap-growing-percent=50'];

  it('sets two flags at its start, and disables Maglev on the first check after an idle interval', async () => {
    const { count, flags, part } = await startTuning();
    await eventually('it was idle', () => (count.collected > 0 ? true : undefined));
    expect(flags).toEqual(atStart);
    part.onCheck();
    part.onCheck();
    expect(flags).toEqual([...atStart, '--no-maglev']);
  });

  it('disables Maglev at the first idle interval if there was a check before', async () => {
    const { count, flags, part } = await startTuning();
    part.onCheck();
    expect(flags).toEqual(atStart);
    await eventually('it was idle', () => (count.collected > 0 ? true : undefined));
    part.onCheck();
    expect(flags).toEqual([...atStart, '--no-maglev']);
  });

  it('disables Maglev after a time limit where the process is never idle', async () => {
    const { count, flags, part } = await startTuning({ giveUpMs: 100 });
    part.onCheck();
    await work(400);
    await eventually('it was busy for long', () => flags.includes('--no-maglev') || undefined);
    expect(count.collected).toBe(0);
  });

  it('collects nothing before the start is over', async () => {
    let isReady = false;
    const { count } = await startTuning({ isReady: () => isReady });
    await pause(100);
    expect(count.collected).toBe(0);
    isReady = true;
    await eventually('it was ready', () => (count.collected > 0 ? true : undefined));
  });

  it('collects nothing while the process is busy, nor after its stop', async () => {
    const { count, part } = await startTuning();
    await work(300);
    expect(count.collected).toBe(0);
    await part.stop();
    await pause(100);
    expect(count.collected).toBe(0);
  });

  it('gives up collecting where the process is never idle', async () => {
    const { count } = await startTuning({ giveUpMs: 100 });
    await work(300);
    await pause(100);
    expect(count.collected).toBe(0);
  });

  it('logs why a collection failed', async () => {
    const { lines } = await startTuning({
      collect: () => {
        throw new Error('no collector');
      },
    });
    const warnings = () => lines().filter(({ level }) => level === 'warn');
    await eventually('it was logged', () => (warnings().length > 0 ? true : undefined));
    expect(warnings()).toEqual([expect.objectContaining({ msg: expect.stringContaining('collected') })]);
  });

  it('returns garbage to the system without a flag of Node', () => {
    const module = join(import.meta.dirname, '../../src/runtime/v8-tuning.ts');
    const program = `
      import { createV8Tuning } from '${module}';
      let garbage = Array.from({ length: 200_000 }, (_, index) => ({ index }));
      const before = process.memoryUsage().heapTotal;
      garbage = undefined;
      const warn = (...said) => console.log(...said);
      const clock = { monotonicMs: () => performance.now() };
      createV8Tuning({ isReady: () => true, clock, log: { warn, debug() {} }, idleMs: 20 }).start();
      setTimeout(() => console.log(process.memoryUsage().heapTotal < before - 5e6), 500);`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', program]);
    expect(output.toString().trim()).toBe('true');
  });
});

it.each([
  [[], '--no-allocation-site-pretenuring', '--heap-growing-percent=50', '--no-maglev'],
  [
    ['--max-semi-space-size=2'],
    '--no-allocation-site-pretenuring',
    '--heap-growing-percent=50',
    '--no-maglev',
  ],
  [
    ['--allocation-site-pretenuring', '--heap-growing-percent=100', '--maglev'],
    undefined,
    undefined,
    undefined,
  ],
  [['--heap_growing_percent', '100'], '--no-allocation-site-pretenuring', undefined, '--no-maglev'],
])('flags on the command line take precedence: %s', (execArgv, ...expected) => {
  const set = (['pretenuring', 'heapGrowth', 'maglev'] as const).map((what) => flagToSet(what, execArgv));
  expect(set).toEqual(expected);
});

describe('the flags that programs start with', () => {
  const read = (file: string): string => readFileSync(join(import.meta.dirname, '../..', file), 'utf8');

  it.each(Object.entries(startFlags))('are those of the image of %s', (name, flags) => {
    const entrypoint = ['/nodejs/bin/node', ...flags, `/app/${name}.mjs`].map((word) => JSON.stringify(word));
    expect(read('Dockerfile')).toContain(`\nENTRYPOINT [${entrypoint.join(', ')}]\n`);
  });

  it('are those that its code cache is made with', () => {
    const listed = /const flags = (?<flags>\{.*?\});/.exec(read('Dockerfile'))?.groups?.['flags'] ?? '';
    const json = listed.replaceAll("'", '"').replaceAll(/(\w+):/g, '"$1":');
    expect(JSON.parse(json)).toEqual(startFlags);
  });

  it('are those of bin/curfew authorizer', () => {
    const set =
      read('bin/curfew')
        .match(/^.*\bset -- .*$/gm)
        ?.join(' ') ?? '';
    const flags = set.match(/ --[\w-]+(?:=\w+)?(?= )/g)?.map((flag) => flag.trim());
    expect(new Set(flags?.filter((flag) => flag !== '--'))).toEqual(new Set(startFlags.authorizer));
  });

  it('go with the environment of the images and of bin/curfew', () => {
    for (const [name, value] of Object.entries(startEnvironment)) {
      expect(read('Dockerfile')).toMatch(new RegExp(`^ENV .*\\b${name}=${value}\\b`, 'm'));
      expect(read('bin/curfew')).toContain(`export ${name}="\${${name}:-${value}}"`);
    }
  });
});
