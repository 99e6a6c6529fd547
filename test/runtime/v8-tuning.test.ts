import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createSettling, flagToSet, type SettlingOptions } from '../../src/runtime/v8-tuning.ts';
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

async function settling(options: Partial<SettlingOptions> = {}) {
  const count = { collected: 0 };
  const captured = capturedLog();
  const flags: string[] = [];
  const part = createSettling({
    isReady: () => true,
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

describe('settling after the start', () => {
  it('collects once, when nothing has been done for a while', async () => {
    const { count } = await settling();
    await eventually('it was idle', () => (count.collected > 0 ? true : undefined));
    await pause(100);
    expect(count.collected).toBe(1);
  });

  const atStart = ['--no-allocation-site-pretenuring', '--heap-growing-percent=50'];

  it('spares memory from its start on, and a compiler with the first work after it was idle', async () => {
    const { count, flags, part } = await settling();
    await eventually('it was idle', () => (count.collected > 0 ? true : undefined));
    expect(flags).toEqual(atStart);
    part.noteWork();
    part.noteWork();
    expect(flags).toEqual([...atStart, '--no-maglev']);
  });

  it('spares a compiler once it is idle when there was work before', async () => {
    const { count, flags, part } = await settling();
    part.noteWork();
    expect(flags).toEqual(atStart);
    await eventually('it was idle', () => (count.collected > 0 ? true : undefined));
    part.noteWork();
    expect(flags).toEqual([...atStart, '--no-maglev']);
  });

  it('spares a compiler where there is always work, after a while', async () => {
    const { count, flags, part } = await settling({ giveUpMs: 100 });
    part.noteWork();
    await work(400);
    await eventually('it was busy for long', () => flags.includes('--no-maglev') || undefined);
    expect(count.collected).toBe(0);
  });

  it('waits for what belongs to the start', async () => {
    let isReady = false;
    const { count } = await settling({ isReady: () => isReady });
    await pause(100);
    expect(count.collected).toBe(0);
    isReady = true;
    await eventually('it was ready', () => (count.collected > 0 ? true : undefined));
  });

  it('waits while there is work, and does nothing after its stop', async () => {
    const { count, part } = await settling();
    await work(300);
    expect(count.collected).toBe(0);
    await part.stop();
    await pause(100);
    expect(count.collected).toBe(0);
  });

  it('lets it be where there is always work', async () => {
    const { count } = await settling({ giveUpMs: 100 });
    await work(300);
    await pause(100);
    expect(count.collected).toBe(0);
  });

  it('says why when it fails, and ends nothing', async () => {
    const { lines } = await settling({
      collect: () => {
        throw new Error('no collector');
      },
    });
    const warnings = () => lines().filter(({ level }) => level === 'warn');
    await eventually('it was logged', () => (warnings().length > 0 ? true : undefined));
    expect(warnings()).toEqual([expect.objectContaining({ msg: expect.stringContaining('collected') })]);
  });

  it('gives garbage back, and needs no flag of Node for it', () => {
    const module = join(import.meta.dirname, '../../src/runtime/v8-tuning.ts');
    const program = `
      import { createSettling } from '${module}';
      let garbage = Array.from({ length: 200_000 }, (_, index) => ({ index }));
      const before = process.memoryUsage().heapTotal;
      garbage = undefined;
      const warn = (...said) => console.log(...said);
      createSettling({ isReady: () => true, log: { warn, debug() {} }, idleMs: 20 }).start();
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
])('flags on the command line, %s, are kept', (execArgv, lifetimes, growing, compiler) => {
  const set = (['lifetimes', 'growing', 'compiler'] as const).map((what) => flagToSet(what, execArgv));
  expect(set).toEqual([lifetimes, growing, compiler]);
});
