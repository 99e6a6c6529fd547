/**
 * Lets a bounded number of tasks run at a time; undefined when one too many asks. One that is done at once takes no place
 * for longer.
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
