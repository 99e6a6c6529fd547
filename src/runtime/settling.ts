import { performance } from 'node:perf_hooks';
import type { Part } from './lifecycle.ts';
import type { Log } from './log.ts';

/** Busy for less than this share of the time is idle. */
const idleShare = 0.05;

export type SettlingOptions = {
  /** True once all is loaded that belongs to the start. */
  readonly isReady: () => boolean;
  readonly log: Log;
  /** How long it has to be idle first; ms, default 500. */
  readonly idleMs?: number;
  /** How long it waits for that once ready; ms, default 60 s. */
  readonly giveUpMs?: number;
  /** Collects all garbage and gives its pages back to the system; by default nothing, unless Node runs with `--expose-gc`. */
  readonly collect?: () => void;
};

/**
 * Gives back, once, the memory that only the start needed: 12 of an authorizer's 82 MB, and more where a long revocation
 * log was read. V8 would keep it for a busy process. Cost: a pause of 30 ms, so it waits for the process to be idle, and lets
 * it be where it never is.
 */
export function createSettling(options: SettlingOptions): Part {
  const { isReady, log, idleMs = 500, giveUpMs = 60_000, collect = collectAll } = options;
  let timer: NodeJS.Timeout | undefined;
  let before = performance.eventLoopUtilization();
  let readyMs: number | undefined;

  function look(): void {
    const { utilization } = performance.eventLoopUtilization(before);
    before = performance.eventLoopUtilization();
    const wasReady = readyMs !== undefined;
    if (isReady()) readyMs ??= performance.now();
    if (readyMs === undefined || !wasReady) return;
    const isIdle = utilization < idleShare;
    if (!isIdle && performance.now() - readyMs < giveUpMs) return;
    clearInterval(timer);
    if (isIdle) settle();
  }

  function settle(): void {
    try {
      collect();
    } catch (thrown) {
      log.warn('memory of the start is kept: it could not be collected', { err: thrown });
    }
  }

  return {
    name: 'settling',
    start: () => {
      timer = setInterval(look, idleMs).unref();
    },
    stop: () => clearInterval(timer),
  };
}

/**
 * V8's collector is there with `--expose-gc` alone. A context made for it at run time has it too, but with a second context
 * every later check takes a third more.
 */
function collectAll(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
