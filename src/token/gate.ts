/** Lets a bounded number of tasks run at a time; undefined when one too many asks. */
export type Gate = <Outcome>(task: () => Promise<Outcome>) => Promise<Outcome> | undefined;

export function createGate(limit: number): Gate {
  let running = 0;
  const leave = (): void => {
    running -= 1;
  };
  return (task) => {
    if (running >= limit) return undefined;
    running += 1;
    return task().finally(leave);
  };
}
