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
   * Waits for a fetch that begins after this call. At most two are tried. Cost: one entry until then; all that wait
   * share the fetch and its timer.
   * @param isThere true when nothing has to be waited for any more
   * @param signal ends the wait
   * @returns false when both fetches failed, or the wait was ended
   */
  wait(isThere: () => boolean, signal: AbortSignal): Promise<boolean>;
  /** Says that a fetch has ended. */
  fetched(fetch: { readonly beganAtMs: number; readonly isGood: boolean }): void;
  /**
   * Waits for no cool-down any more, as there is no time for it: those who wait or still ask share a fetch at once, then
   * one every 250 ms. It is tried once. The caller sees to it that no more ask.
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
/** Between fetches after the stop; ms. */
const lastFetchesEveryMs = 250;

/** Holds those who need keys newer than their question, without more fetches than the cool-down permits. */
export function createNewerKeys({ clock, permittedAtMs, fetch }: NewerKeysOptions): NewerKeys {
  const waiting = new Set<Waiting>();
  let timer: NodeJS.Timeout | undefined;
  let isFetching = false;
  let stoppedAtMs = Infinity;
  /** When the next fetch is permitted because of the stop. */
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
      for (const one of waiting) judge(one, fetch, attempts);
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

function judge(
  one: Waiting,
  { beganAtMs, isGood }: { readonly beganAtMs: number; readonly isGood: boolean },
  attempts: number,
): void {
  const isNewer = beganAtMs >= one.sinceMs;
  if (isNewer) one.attempts += 1;
  if (one.isThere() || (isNewer && isGood)) one.settle(true);
  else if (one.attempts >= attempts) one.settle(false);
}
