/**
 * Runs a task at once, or in a later turn of the event loop.
 * @returns undefined when too many tasks wait already
 */
export type EventLoopBudget = <Outcome>(
  task: () => Outcome | Promise<Outcome>,
) => Outcome | Promise<Outcome> | undefined;

export type EventLoopBudgetOptions = {
  /** Time for tasks in one turn of the event loop; the last task may exceed it. Milliseconds. */
  readonly budgetMs: number;
  readonly maxWaiting: number;
  monotonicMs(): number;
};

/**
 * Bounds how long tasks that any client can cause delay everything else. Tasks run at once until the budget
 * of the turn is spent. The others wait in order for later turns, and I/O is handled in between.
 * Cost: two readings of the clock.
 */
export function createEventLoopBudget({
  budgetMs,
  maxWaiting,
  monotonicMs,
}: EventLoopBudgetOptions): EventLoopBudget {
  let waiting: (() => void)[] = [];
  let usedMs = 0;
  let isScheduled = false;

  function timed<Outcome>(task: () => Outcome): Outcome {
    const startedMs = monotonicMs();
    try {
      return task();
    } finally {
      usedMs += monotonicMs() - startedMs;
      if (!isScheduled) {
        isScheduled = true;
        setImmediate(turn);
      }
    }
  }

  function turn(): void {
    isScheduled = false;
    usedMs = 0;
    let done = 0;
    for (const task of waiting) {
      if (usedMs >= budgetMs) break;
      done += 1;
      timed(task);
    }
    waiting = waiting.slice(done);
  }

  return <Outcome>(task: () => Outcome | Promise<Outcome>) => {
    if (waiting.length === 0 && usedMs < budgetMs) return timed(task);
    if (waiting.length >= maxWaiting) return undefined;
    return new Promise<Outcome>((resolve, reject) => {
      waiting.push(() => {
        try {
          resolve(task());
        } catch (thrown) {
          reject(thrown);
        }
      });
    });
  };
}
