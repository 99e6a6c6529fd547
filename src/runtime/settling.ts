import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Part } from './lifecycle.ts';

/** Busy for less than this share of the time is idle. */
const idleShare = 0.05;

export type SettlingOptions = {
  /** How long it has to be idle first; ms, default 500. */
  readonly idleMs?: number;
  /** Collects all garbage and gives its pages back to the system. */
  readonly collect?: () => void;
};

/**
 * Gives back, once, the memory that only the start needed: 12 of an authorizer's 82 MB, and more where a long revocation
 * log was read. V8 would keep it for a busy process. Cost: a pause of 30 ms, so it waits for the process to be idle.
 */
export function createSettling({ idleMs = 500, collect = collectAll }: SettlingOptions = {}): Part {
  let timer: NodeJS.Timeout | undefined;
  return {
    name: 'settling',
    start: () => {
      let before = performance.eventLoopUtilization();
      const look = (): void => {
        const { utilization } = performance.eventLoopUtilization(before);
        before = performance.eventLoopUtilization();
        if (utilization > idleShare) return;
        clearInterval(timer);
        collect();
      };
      timer = setInterval(look, idleMs).unref();
    },
    stop: () => clearInterval(timer),
  };
}

type Collector = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

function collectAll(): void {
  // The only way to V8's collector from inside; a context made while the flag is set has it.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collector;
  setFlagsFromString('--no-expose-gc');
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
