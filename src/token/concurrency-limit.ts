/**
 * Runs a task unless too many run already. A task that returns no promise does not count.
 * @returns what the task returns; undefined if it did not run
 */
export type ConcurrencyLimit = <Outcome>(
  task: () => Outcome | Promise<Outcome>,
) => Outcome | Promise<Outcome> | undefined;

export function createConcurrencyLimit(limit: number): ConcurrencyLimit {
  let running = 0;
  const leave = (): void => {
    running -= 1;
  };
  return (task) => {
    if (running >= limit) return undefined;
    const outcome = task();
    if (!(outcome instanceof Promise)) return outcome;
    running += 1;
    return outcome.finally(leave);
  };
}
