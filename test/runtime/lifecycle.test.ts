import { describe, expect, it } from 'vitest';
import { createLifecycle, type Part } from '../../src/runtime/lifecycle.ts';
import { createLog } from '../../src/runtime/log.ts';

const log = createLog({ program: 'test', level: 'silent' });

function recorder() {
  const happened: string[] = [];
  const part = (name: string, faults: { start?: boolean; stop?: boolean; hang?: boolean } = {}): Part => ({
    name,
    start: () => {
      happened.push(`start ${name}`);
      if (faults.start === true) throw new Error(`${name} cannot start`);
    },
    stop: () => {
      happened.push(`stop ${name}`);
      if (faults.stop === true) throw new Error(`${name} cannot stop`);
      return faults.hang === true ? new Promise<void>(() => undefined) : undefined;
    },
  });
  return { happened, part };
}

describe('the lifecycle', () => {
  it('starts parts in order and stops them in reverse', async () => {
    const { happened, part } = recorder();
    const lifecycle = createLifecycle([part('a'), part('b')], { drainMs: 1000, log });
    await lifecycle.start();
    expect(await lifecycle.stop()).toBe(true);
    expect(happened).toEqual(['start a', 'start b', 'stop b', 'stop a']);
  });

  it('stops all started parts when a part fails to start, including that part', async () => {
    const { happened, part } = recorder();
    const lifecycle = createLifecycle([part('a'), part('b', { start: true }), part('c')], {
      drainMs: 1000,
      log,
    });
    await expect(lifecycle.start()).rejects.toThrow('b cannot start');
    expect(happened).toEqual(['start a', 'start b', 'stop b', 'stop a']);
  });

  it('stops the other parts when one fails to stop', async () => {
    const { happened, part } = recorder();
    const lifecycle = createLifecycle([part('a'), part('b', { stop: true })], { drainMs: 1000, log });
    await lifecycle.start();
    expect(await lifecycle.stop()).toBe(true);
    expect(happened.at(-1)).toBe('stop a');
  });

  it('stops waiting for a part that hangs, and reports it', async () => {
    const { part } = recorder();
    const lifecycle = createLifecycle([part('a', { hang: true })], { drainMs: 10, log });
    await lifecycle.start();
    expect(await lifecycle.stop()).toBe(false);
  });

  it('stops once, however often stop is called', async () => {
    const { happened, part } = recorder();
    const lifecycle = createLifecycle([part('a')], { drainMs: 1000, log });
    await lifecycle.start();
    await Promise.all([lifecycle.stop(), lifecycle.stop()]);
    expect(happened).toEqual(['start a', 'stop a']);
  });
});
