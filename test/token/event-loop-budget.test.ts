import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createEventLoopBudget } from '../../src/token/event-loop-budget.ts';

/** A share of 1 ms, under a clock that tasks push on. */
function share(maxWaiting = 100) {
  let nowMs = 0;
  const run = createEventLoopBudget({ budgetMs: 1, maxWaiting, monotonicMs: () => nowMs });
  const done: number[] = [];
  const task = (name: number, takesMs: number) => () => {
    nowMs += takesMs;
    done.push(name);
    return name;
  };
  return { run, done, task };
}

describe('a share of a turn', () => {
  it('runs tasks at once while they fit', () => {
    const { run, task } = share();
    expect([0.4, 0.4, 5].map((takesMs, name) => run(task(name, takesMs)))).toEqual([0, 1, 2]);
  });

  it('leaves the rest to later turns, in order, each turn no more than its share', async () => {
    const { run, done, task } = share();
    const outcomes = Array.from({ length: 7 }, (_, name) => Promise.resolve(run(task(name, 0.5))));
    expect(done).toEqual([0, 1]);
    for (const count of [4, 6, 7]) {
      await nextTurn();
      expect(done).toHaveLength(count);
    }
    expect(await Promise.all(outcomes)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('runs waiting tasks before new ones', async () => {
    const { run, done, task } = share();
    for (let name = 0; name < 4; name += 1) void run(task(name, 1));
    await nextTurn();
    void run(task(4, 0));
    for (let turn = 0; turn < 5; turn += 1) await nextTurn();
    expect(done).toEqual([0, 1, 2, 3, 4]);
  });

  it('refuses who would be one too many, and takes others once there is room', async () => {
    const { run, task } = share(2);
    const outcomes = [0, 1, 2].map((name) => Promise.resolve(run(task(name, 1))));
    expect(run(task(3, 1))).toBeUndefined();
    await Promise.all(outcomes);
    expect(await run(task(4, 1))).toBe(4);
  });

  it('passes on what a task throws, at once or later, and goes on', async () => {
    const { run, task } = share();
    const fails = (): never => {
      task(0, 1)();
      throw new Error('broken');
    };
    expect(() => run(fails)).toThrow('broken');
    const later = run(fails);
    const after = run(task(2, 1));
    await expect(later).rejects.toThrow('broken');
    expect(await after).toBe(2);
  });
});
