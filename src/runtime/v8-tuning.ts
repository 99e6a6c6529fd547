import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import type { Part } from './lifecycle.ts';
import type { Log } from './log.ts';

/** Busy for less than this share of the time is idle. */
const idleShare = 0.05;

/** V8's flags that spare memory and the collector, and what the command line says of the same. */
const frugalFlags = {
  /**
   * No guess from what has lived long at the start: V8 would put a good part of each check into the old generation, where it keeps
   * the rest of it from being collected cheaply.
   */
  lifetimes: { flag: '--no-allocation-site-pretenuring', about: /allocation.site.pretenuring/ },
  /** An old generation that is collected when it has grown by half. */
  growing: { flag: '--heap-growing-percent=50', about: /heap.growing.percent/ },
  /** One compiler less. */
  compiler: { flag: '--no-maglev', about: /maglev/ },
} as const;

export type SettlingOptions = {
  /** True once all is loaded that belongs to the start. */
  readonly isReady: () => boolean;
  readonly log: Log;
  /** How long it has to be idle first; ms, default 500. */
  readonly idleMs?: number;
  /** How long it waits for that once ready; ms, default 60 s. */
  readonly giveUpMs?: number;
  /** Collects all garbage and gives its pages back to the system. */
  readonly collect?: () => Promise<void> | void;
  /** Sets a flag of V8. */
  readonly setFlag?: (flag: string) => void;
};

export type Settling = Part & {
  /**
   * To be told of each piece of the program's work. With the first after the start V8 gets one compiler less: earlier it would take the
   * other one for what the start has made warm, and 5 MB for that; later it would have taken this one for the work, and 15 MB.
   */
  noteWork(): void;
};

/**
 * Has V8 spare memory, and gives back, once, what only the start needed: 12 of an authorizer's 82 MB, and more where a long
 * revocation log was read. V8 would keep it for a busy process. Cost: a pause of 30 ms, with a large heap of
 * 200, so it waits for the process to be idle, and lets it be where it never is.
 */
export function createSettling(options: SettlingOptions): Settling {
  const { isReady, log, idleMs = 500, giveUpMs = 60_000 } = options;
  const { collect = collectAll, setFlag = setFlagsFromString } = options;
  let timer: NodeJS.Timeout | undefined;
  let before = performance.eventLoopUtilization();
  let readyMs: number | undefined;
  let isOver = false;
  let hasWork = false;

  function look(): void {
    const { utilization } = performance.eventLoopUtilization(before);
    before = performance.eventLoopUtilization();
    const wasReady = readyMs !== undefined;
    if (isReady()) readyMs ??= performance.now();
    if (readyMs === undefined || !wasReady) return;
    const isIdle = utilization < idleShare;
    if (!isIdle && performance.now() - readyMs < giveUpMs) return;
    clearInterval(timer);
    isOver = true;
    if (hasWork) spare('compiler');
    if (isIdle) void settle();
  }

  function spare(what: keyof typeof frugalFlags): void {
    const flag = flagToSet(what, process.execArgv);
    if (flag === undefined) return;
    setFlag(flag);
    log.debug('flag of V8 set', { kind: flag });
  }

  async function settle(): Promise<void> {
    try {
      await collect();
    } catch (thrown) {
      log.warn('memory of the start is kept: it could not be collected', { err: thrown });
    }
  }

  return {
    name: 'settling',
    start: () => {
      spare('lifetimes');
      spare('growing');
      timer = setInterval(look, idleMs).unref();
    },
    stop: () => clearInterval(timer),
    noteWork: () => {
      if (hasWork) return;
      hasWork = true;
      if (isOver) spare('compiler');
    },
  };
}

/**
 * Once all is loaded: on the command line it would have V8 refuse the compiled code that Node brings of its own modules, which was
 * built with other flags, and a start take a fifth longer.
 * @param execArgv what Node's command line says, which is kept
 */
export function flagToSet(what: keyof typeof frugalFlags, execArgv: readonly string[]): string | undefined {
  const { flag, about } = frugalFlags[what];
  return execArgv.some((argument) => about.test(argument)) ? undefined : flag;
}

/**
 * By the inspector, since V8's `gc` is there with a flag alone (see `flagToSet`), or in a context made for it at run time; and with a
 * second context every later check takes a third more.
 */
async function collectAll(): Promise<void> {
  const { Session } = await import('node:inspector');
  const session = new Session();
  session.connect();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  session.post('HeapProfiler.collectGarbage', (error) => (error === null ? resolve() : reject(error)));
  await promise.finally(() => session.disconnect());
}
