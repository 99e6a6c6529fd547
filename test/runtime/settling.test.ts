import { afterEach, describe, expect, it } from 'vitest';
import { createSettling } from '../../src/runtime/settling.ts';
import { eventually } from '../processes.ts';

type Settling = ReturnType<typeof createSettling>;
let settling: Settling | undefined;
afterEach(() => settling?.stop());

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('settling after the start', () => {
  it('collects once, when nothing has been done for a while', async () => {
    let collected = 0;
    settling = createSettling({ idleMs: 20, collect: () => (collected += 1) });
    await settling.start();
    await eventually('it was idle', async () => (collected > 0 ? true : undefined));
    await pause(100);
    expect(collected).toBe(1);
  });

  it('waits while there is work, and does not collect after its stop', async () => {
    let collected = 0;
    settling = createSettling({ idleMs: 20, collect: () => (collected += 1) });
    await settling.start();
    for (let turn = 0; turn < 20; turn += 1) {
      const untilMs = performance.now() + 15;
      while (performance.now() < untilMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(collected).toBe(0);
    await settling.stop();
    await pause(100);
    expect(collected).toBe(0);
  });

  it('gives garbage back', async () => {
    const heapMb = (): number => process.memoryUsage().heapTotal / 1e6;
    let garbage: unknown = Array.from({ length: 200_000 }, (_, index) => ({ index }));
    expect(garbage).toBeDefined();
    const before = heapMb();
    garbage = undefined;
    settling = createSettling({ idleMs: 20 });
    await settling.start();
    await eventually('the heap is smaller', async () => (heapMb() < before - 5 ? true : undefined));
    expect('gc' in globalThis).toBe(false);
  });
});
