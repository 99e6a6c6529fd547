/** Runs a task now or soon; undefined when too many wait already. */
export type EventLoopBudget = <Outcome>(
  task: () => Outcome | Promise<Outcome>,
) => Outcome | Promise<Outcome> | undefined;

export type EventLoopBudgetOptions = {
  /** What tasks may take of one turn of the event loop; the last one may exceed it. Milliseconds. */
  readonly budgetMs: number;
  readonly maxWaiting: number;
  monotonicMs(): number;
};

/**
 * Keeps work that anybody can ask for from holding up the rest: tasks run at once as long as they fit into their share of
 * the turn, and else in later turns, in order, so that all I/O gets its turn between.
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
