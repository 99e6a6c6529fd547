import type { Log } from './log.ts';

/** One long-lived piece of a program: a listener, a connection, a timer. */
export type Part = {
  readonly name: string;
  start(): Promise<void> | void;
  /**
   * Called once, even if the start of this part or of a later one failed. Must not throw after a start that
   * failed.
   */
  stop(): Promise<void> | void;
};

export type Lifecycle = {
  /** Starts the parts in order; on a failure stops what was started, in reverse, and rethrows. */
  start(): Promise<void>;
  /**
   * Stops the parts in reverse. Resolves after `drainMs` at the latest; true if every part stopped in time.
   */
  stop(): Promise<boolean>;
};

export function createLifecycle(parts: readonly Part[], options: { drainMs: number; log: Log }): Lifecycle {
  const { log } = options;
  const started: Part[] = [];
  let stopping: Promise<boolean> | undefined;

  async function stopStarted(): Promise<void> {
    for (let part = started.pop(); part !== undefined; part = started.pop()) {
      try {
        await part.stop();
        log.debug('part stopped', { part: part.name });
      } catch (thrown) {
        log.error('part failed to stop', { part: part.name, err: thrown });
      }
    }
  }

  async function start(): Promise<void> {
    for (const part of parts) {
      started.push(part);
      try {
        await part.start();
      } catch (thrown) {
        log.debug('part failed to start', { part: part.name });
        await stopWithin(stopStarted(), options.drainMs);
        throw thrown;
      }
      log.debug('part started', { part: part.name });
    }
  }

  return { start, stop: () => (stopping ??= stopWithin(stopStarted(), options.drainMs)) };
}

async function stopWithin(work: Promise<void>, deadlineMs: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), deadlineMs);
  const inTime = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return inTime;
}

/**
 * Runs a program in the foreground until SIGTERM or SIGINT.
 * @returns the exit code: 0 after a clean stop, 1 if a part did not stop within the drain time
 * @throws what a part's start threw
 */
export async function runUntilSignal(lifecycle: Lifecycle, log: Log): Promise<number> {
  const { promise: signalled, resolve } = Promise.withResolvers<string>();
  const onSignal = (signal: string): void => resolve(signal);
  process.once('SIGTERM', onSignal);
  process.once('SIGINT', onSignal);
  const starting = lifecycle.start();
  const first = await Promise.race([signalled, starting.then(() => undefined)]);
  const signal = first ?? (await signalled);
  log.info('stopping', { signal });
  const clean = await lifecycle.stop();
  if (!clean) log.warn('drain time exceeded; open work was dropped');
  log.info('stopped');
  return clean ? 0 : 1;
}
