import { createReadBarrier } from '../runtime/read-barrier.ts';

/** A call with a deadline. */
export type TimedCall = {
  readonly isOver: boolean;
  /** Starts a timer that fails the call at its deadline, counted from now. */
  watchDeadline(): void;
};

/**
 * Enforces deadlines. Nearly all calls are over within a few turns of the event loop; only the others get a
 * timer.
 */
export function createDeadlines(): (call: TimedCall) => void {
  let opened: TimedCall[] = [];
  const watchRest = createReadBarrier((calls: readonly TimedCall[]) => {
    for (const call of calls) if (!call.isOver) call.watchDeadline();
  });
  // A check is decided after a read barrier, and its message may arrive one turn after its head.
  const waitOnce = createReadBarrier((calls: readonly TimedCall[]) => {
    opened = [];
    watchRest(calls);
  });

  return (call) => {
    if (opened.length === 0) waitOnce(opened);
    opened.push(call);
  };
}
