import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import type { Clock } from './clock.ts';
import type { Part } from './lifecycle.ts';
import type { Log } from './log.ts';

/**
 * Flags of Node that each program is started with. The Dockerfile and bin/curfew repeat them, and a test
 * compares. What each flag of this file saves, and the command that shows it, is in
 * docs/adr/0010-v8-tuning.md.
 * @public
 */
export const startFlags = {
  authorizer: ['--max-semi-space-size=2', '--no-parallel-scavenge'],
  identity: ['--max-semi-space-size=4'],
  relay: ['--max-semi-space-size=2'],
  injector: ['--max-semi-space-size=2'],
} as const;

/**
 * Environment that goes with them: glibc otherwise gives each of Node's threads a heap of its own.
 * @public
 */
export const startEnvironment = { MALLOC_ARENA_MAX: '1' } as const;

/**
 * Flags of V8 that the authorizer sets while it runs. On the command line they would make V8 reject the code
 * cache of Node's own modules, which was built with other flags, and the start would take a fifth longer.
 * `isGiven` matches the same flag on the command line, which takes precedence.
 */
const runtimeFlags = {
  /**
   * V8 otherwise allocates part of each check in the old generation, where it keeps more from being
   * collected.
   */
  pretenuring: { flag: '--no-allocation-site-pretenuring', isGiven: /allocation.site.pretenuring/ },
  /** Collects the old generation when it has grown by half. */
  heapGrowth: { flag: '--heap-growing-percent=50', isGiven: /heap.growing.percent/ },
  /** Leaves TurboFan as the only optimizing compiler. */
  maglev: { flag: '--no-maglev', isGiven: /maglev/ },
} as const;

/** A process that is busy for less than this share of the time is idle. */
const idleShare = 0.05;

export type V8TuningOptions = {
  /** True once everything is loaded that the start needs. */
  readonly isReady: () => boolean;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
  /** How often idleness is measured; ms, default 500. */
  readonly idleMs?: number;
  /** How long after readiness it waits for an idle interval; ms, default 60 s. */
  readonly giveUpMs?: number;
  /** Collects all garbage and returns its pages to the system. */
  readonly collect?: () => Promise<void> | void;
  /** Sets a flag of V8. */
  readonly setFlag?: (flag: string) => void;
};

export type V8Tuning = Part & {
  /**
   * Call on every check. The first call disables Maglev. Disabled earlier, V8 optimizes start-up code with
   * TurboFan (+5 MB); disabled later, Maglev has already compiled the hot path (+15 MB).
   */
  onCheck(): void;
};

/**
 * Makes V8 use less memory, and collects once what only the start needed: 12 of an authorizer's 82 MB, and
 * more after a long revocation log was read. V8 would otherwise keep it for a busy process.
 * Cost: the collection pauses the process for 30 ms, with a large heap for 200 ms. It therefore waits for an
 * idle interval, and is skipped if the process does not become idle in time.
 */
export function createV8Tuning(options: V8TuningOptions): V8Tuning {
  const { isReady, clock, log, idleMs = 500, giveUpMs = 60_000 } = options;
  const { collect = collectAll, setFlag = setFlagsFromString } = options;
  let timer: NodeJS.Timeout | undefined;
  let before = performance.eventLoopUtilization();
  let readyMs: number | undefined;
  let isStartOver = false;
  let hadCheck = false;

  function look(): void {
    const { utilization } = performance.eventLoopUtilization(before);
    before = performance.eventLoopUtilization();
    const wasReady = readyMs !== undefined;
    if (isReady()) readyMs ??= clock.monotonicMs();
    if (readyMs === undefined || !wasReady) return;
    const isIdle = utilization < idleShare;
    if (!isIdle && clock.monotonicMs() - readyMs < giveUpMs) return;
    clearInterval(timer);
    isStartOver = true;
    if (hadCheck) set('maglev');
    if (isIdle) void collectStart();
  }

  function set(name: keyof typeof runtimeFlags): void {
    const flag = flagToSet(name, process.execArgv);
    if (flag === undefined) return;
    setFlag(flag);
    log.debug('flag of V8 set', { kind: flag });
  }

  async function collectStart(): Promise<void> {
    try {
      await collect();
    } catch (thrown) {
      log.warn('memory of the start not collected', { err: thrown });
    }
  }

  return {
    name: 'v8 tuning',
    start: () => {
      set('pretenuring');
      set('heapGrowth');
      timer = setInterval(look, idleMs).unref();
    },
    stop: () => clearInterval(timer),
    onCheck: () => {
      if (hadCheck) return;
      hadCheck = true;
      if (isStartOver) set('maglev');
    },
  };
}

/**
 * @param execArgv flags on Node's command line, which take precedence
 * @returns undefined where the command line gives the flag
 */
export function flagToSet(name: keyof typeof runtimeFlags, execArgv: readonly string[]): string | undefined {
  const { flag, isGiven } = runtimeFlags[name];
  return execArgv.some((argument) => isGiven.test(argument)) ? undefined : flag;
}

/**
 * Uses the inspector, because V8's `gc` needs a flag or a new context. The flag would slow the start like
 * those above; with a second context every later check takes a third longer.
 */
async function collectAll(): Promise<void> {
  const { Session } = await import('node:inspector');
  const session = new Session();
  session.connect();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  session.post('HeapProfiler.collectGarbage', (error) => (error === null ? resolve() : reject(error)));
  await promise.finally(() => session.disconnect());
}
