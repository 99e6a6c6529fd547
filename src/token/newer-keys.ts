import type { Clock } from '../runtime/clock.ts';

export type NewerKeysOptions = {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** When the next fetch for an unknown key is permitted, on the monotonic clock. */
  permittedAtMs(): number;
  /** Fetches the keys, or joins a fetch under way. Ends in a call of `fetched`, and never rejects. */
  fetch(): Promise<void>;
};

export type NewerKeys = {
  /**
   * Waits for a fetch that begins after this call. At most two fetches are tried. Cost: one entry while it
   * waits; all callers share the fetch and its timer.
   * @param isThere true once the key is present
   * @param signal ends the wait
   * @returns false when both fetches failed, or the wait was ended
   */
  wait(isThere: () => boolean, signal: AbortSignal): Promise<boolean>;
  /** Call when a fetch has ended. */
  fetched(fetch: { readonly beganAtMs: number; readonly isGood: boolean }): void;
  /**
   * Ignores the cool-down from now on, because the program stops. All callers share one fetch now and one
   * every 250 ms after it, and each waits for one fetch. The caller of `stop` makes sure that no new callers
   * come for long.
   */
  stop(): void;
};

type Waiting = {
  readonly sinceMs: number;
  readonly isThere: () => boolean;
  readonly settle: (isConfirmed: boolean) => void;
  attempts: number;
};

const maxAttempts = 2;
/** Interval between fetches after `stop`; ms. */
const lastFetchesEveryMs = 250;

/**
 * Lets callers wait for keys that are fetched after their call, without more fetches than the cool-down
 * permits.
 */
export function createNewerKeys({ clock, permittedAtMs, fetch }: NewerKeysOptions): NewerKeys {
  const waiting = new Set<Waiting>();
  let timer: NodeJS.Timeout | undefined;
  let isFetching = false;
  let stoppedAtMs = Infinity;
  /** When the next fetch is permitted after `stop`. */
  let lastPermittedAtMs = Infinity;

  async function fetchNow(): Promise<void> {
    isFetching = true;
    if (stoppedAtMs !== Infinity) lastPermittedAtMs = clock.monotonicMs() + lastFetchesEveryMs;
    await fetch();
    isFetching = false;
    schedule();
  }

  function schedule(): void {
    clearTimeout(timer);
    if (waiting.size === 0 || isFetching) return;
    const delayMs = Math.min(permittedAtMs(), lastPermittedAtMs) - clock.monotonicMs();
    // Without `unref`: a client waits for the answer.
    if (delayMs > 0) timer = setTimeout(schedule, Math.ceil(delayMs));
    else void fetchNow();
  }

  return {
    wait: async (isThere, signal) => {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const end = (): void => resolve(false);
      const one: Waiting = { sinceMs: clock.monotonicMs(), isThere, settle: resolve, attempts: 0 };
      waiting.add(one);
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted) end();
      else schedule();
      const isConfirmed = await promise;
      waiting.delete(one);
      signal.removeEventListener('abort', end);
      if (waiting.size === 0) clearTimeout(timer);
      return isConfirmed;
    },
    fetched: (fetch) => {
      const attempts = fetch.beganAtMs >= stoppedAtMs ? 1 : maxAttempts;
      for (const one of waiting) settleIfDone(one, fetch, attempts);
    },
    stop: () => {
      if (stoppedAtMs === Infinity) {
        stoppedAtMs = clock.monotonicMs();
        lastPermittedAtMs = stoppedAtMs;
      }
      schedule();
    },
  };
}

function settleIfDone(
  one: Waiting,
  { beganAtMs, isGood }: { readonly beganAtMs: number; readonly isGood: boolean },
  attempts: number,
): void {
  const isNewer = beganAtMs >= one.sinceMs;
  if (isNewer) one.attempts += 1;
  if (one.isThere() || (isNewer && isGood)) one.settle(true);
  else if (one.attempts >= attempts) one.settle(false);
}
