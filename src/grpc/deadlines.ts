import { createReadBarrier } from '../runtime/read-barrier.ts';

/** A call whose caller has given it a time. */
export type TimedCall = {
  readonly isOver: boolean;
  /** Fails it when its time is up, counted from now. */
  watchDeadline(): void;
};

/**
 * Keeps calls to their callers' deadlines. Nearly all are over within a few turns of the event loop, so only those that
 * are not get a timer.
 */
export function createDeadlines(): (call: TimedCall) => void {
  let opened: TimedCall[] = [];
  const watchRest = createReadBarrier((calls: readonly TimedCall[]) => {
    for (const call of calls) if (!call.isOver) call.watchDeadline();
  });
  // A call is decided after a whole turn, and its message may come a turn after its head.
  const waitOnce = createReadBarrier((calls: readonly TimedCall[]) => {
    opened = [];
    watchRest(calls);
  });

  return (call) => {
    if (opened.length === 0) waitOnce(opened);
    opened.push(call);
  };
}
