import type { Clock } from '../runtime/clock.ts';
import { describeError, type Log } from '../runtime/log.ts';
import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import type { Algorithm } from '../vocabulary/algorithms.ts';
import { parseJwkSet } from './jwk-set.ts';
import type { JwksSource } from './jwks-source.ts';
import { createKeyRing, findKey, type KeyLookup, type KeyRing } from './key-lookup.ts';
import type { KeySet, KeySetState } from './key-set.ts';
import { createNewerKeys } from './newer-keys.ts';

export type RemoteKeySetOptions = {
  readonly issuer: string;
  readonly algorithms: readonly Algorithm[];
  readonly load: JwksSource;
  /** A key that was removed from the set is accepted no longer than this. */
  readonly refreshMs: number;
  /** Unknown keys cause at most one refresh in this time. It is also the shortest delay after a failure. */
  readonly cooldownMs: number;
  /** How long the last good set is used while refreshes fail. */
  readonly maxStaleMs: number;
  readonly clock: Clock;
  /** 0 to below 1; spreads the refreshes of many sidecars. */
  random(): number;
  readonly log: Log;
  readonly metrics: Pick<AuthorizerMetrics, 'jwksRefreshes' | 'jwksAge'>;
};

// Without any keys every request is denied, so the first load is retried soon.
const firstRetryMs = 500;
const maxFirstRetryMs = 10_000;
const ageEveryMs = 5000;

type Loaded = {
  ring: KeyRing | undefined;
  /** When the load of the ring began; the set is no older than that. */
  confirmedAtMs: number;
  failures: number;
  problem: string | undefined;
};

/**
 * Keys that another server publishes. They are fetched at start, again well within `refreshMs`, and when a
 * token names an unknown key. While fetches fail the last good set stays in use, until it is older than
 * `maxStaleMs`.
 */
export function createRemoteKeySet(options: RemoteKeySetOptions): KeySet {
  const { clock, cooldownMs } = options;
  const loaded: Loaded = { ring: undefined, confirmedAtMs: -Infinity, failures: 0, problem: undefined };
  const timers = createTimers();
  let flight: Promise<void> | undefined;
  let triggeredAtMs = -Infinity;

  const usable = (): KeyRing | undefined => usableRing(loaded, options);

  function refresh(): Promise<void> {
    const beganAtMs = clock.monotonicMs();
    flight ??= reload(options, loaded).finally(() => {
      flight = undefined;
      showAge(loaded, options);
      newer.fetched({ beganAtMs, isGood: loaded.failures === 0 });
      timers.next(() => void refresh(), nextDelayMs(options, loaded));
    });
    return flight;
  }

  function refreshForUnknownKey(): Promise<void> {
    triggeredAtMs = clock.monotonicMs();
    return refresh();
  }

  const newer = createNewerKeys({
    clock,
    permittedAtMs: () => triggeredAtMs + cooldownMs,
    fetch: () => flight ?? refreshForUnknownKey(),
  });
  const find: KeySet['find'] = (kid, algorithm) => findIn(usable(), kid, algorithm);

  return {
    find,
    findNewer: async (kid, algorithm, signal) => {
      const isNewer = await newer.wait(() => find(kid, algorithm).kind === 'found', signal);
      return findIn(isNewer ? usable() : undefined, kid, algorithm);
    },
    vouchesFor: (key) => usable()?.keys.has(key) === true,
    isUsable: () => usable() !== undefined,
    refreshForUnknownKey: () => {
      const isCoolingDown = clock.monotonicMs() - triggeredAtMs < cooldownMs;
      return flight ?? (isCoolingDown ? undefined : refreshForUnknownKey());
    },
    state: () => stateOf(loaded, usable() !== undefined, ageMsOf(loaded, options)),
    start: () => {
      timers.every(() => showAge(loaded, options), ageEveryMs);
      return refresh();
    },
    stop: () => {
      timers.stop();
      newer.stop();
    },
  };
}

const ageMsOf = ({ confirmedAtMs }: Loaded, { clock }: Pick<RemoteKeySetOptions, 'clock'>): number =>
  clock.monotonicMs() - confirmedAtMs;

const usableRing = (loaded: Loaded, options: RemoteKeySetOptions): KeyRing | undefined =>
  ageMsOf(loaded, options) <= options.maxStaleMs ? loaded.ring : undefined;

function showAge(loaded: Loaded, options: RemoteKeySetOptions): void {
  const { metrics, issuer } = options;
  if (loaded.ring !== undefined) metrics.jwksAge.set({ issuer }, ageMsOf(loaded, options) / 1000);
}

const findIn = (ring: KeyRing | undefined, ...wanted: Parameters<KeySet['find']>): KeyLookup =>
  ring === undefined ? { kind: 'unavailable' } : findKey(ring, ...wanted);

/** Never rejects: a failure is part of the state. */
async function reload(options: RemoteKeySetOptions, loaded: Loaded): Promise<void> {
  const { issuer, algorithms, log, metrics, clock } = options;
  const beganAtMs = clock.monotonicMs();
  try {
    const { keys, refused } = parseJwkSet(await options.load(), algorithms);
    const before = loaded.ring;
    loaded.ring = createKeyRing(keys, before);
    loaded.confirmedAtMs = beganAtMs;
    loaded.failures = 0;
    loaded.problem = undefined;
    metrics.jwksRefreshes.inc({ issuer, result: 'ok' });
    if (before !== undefined && sameKeys(before, loaded.ring)) return;
    log.info('keys loaded', { issuer, count: keys.length });
    for (const { kid, why } of refused)
      log.warn('a key of the set is not used', { issuer, keyId: kid ?? 'without kid', found: why });
  } catch (thrown) {
    loaded.failures += 1;
    loaded.problem = describeError(thrown).message;
    metrics.jwksRefreshes.inc({ issuer, result: 'failed' });
    const fields = { issuer, attempt: loaded.failures, err: thrown };
    if (loaded.ring === undefined) log.warn('keys could not be loaded; there are none yet', fields);
    else log.warn('keys could not be reloaded; the previous keys stay in use', fields);
  }
}

const sameKeys = (one: KeyRing, other: KeyRing): boolean =>
  one.keys.size === other.keys.size && one.keys.isSubsetOf(other.keys);

/** Early enough for the response to arrive within `refreshMs`; after a failure the delay doubles. */
function nextDelayMs(options: RemoteKeySetOptions, { ring, failures }: Loaded): number {
  const { refreshMs, cooldownMs, random } = options;
  if (failures === 0) return refreshMs * (0.8 + 0.1 * random());
  const first = ring === undefined ? firstRetryMs : cooldownMs;
  const most = ring === undefined ? maxFirstRetryMs : Math.max(refreshMs, cooldownMs);
  return Math.min(most, first * 2 ** Math.min(failures - 1, 20)) * (1 + 0.1 * random());
}

function stateOf(loaded: Loaded, usable: boolean, ageMs: number): KeySetState {
  const { ring, failures, problem } = loaded;
  const keys = ring?.keys.size ?? 0;
  const ageSeconds = ring === undefined ? undefined : Math.round(ageMs / 1000);
  if (usable) return { state: failures === 0 ? 'fresh' : 'stale', keys, ageSeconds, problem };
  return {
    state: ring === undefined && failures === 0 ? 'loading' : 'unavailable',
    keys,
    ageSeconds,
    problem,
  };
}

/**
 * One timeout at a time and one interval. Neither keeps the process alive, and no timeout starts after
 * `stop`.
 */
function createTimers() {
  let timeout: NodeJS.Timeout | undefined;
  let interval: NodeJS.Timeout | undefined;
  let stopped = false;
  return {
    next(run: () => void, delayMs: number): void {
      clearTimeout(timeout);
      if (!stopped) timeout = setTimeout(run, delayMs).unref();
    },
    every(run: () => void, everyMs: number): void {
      interval = setInterval(run, everyMs).unref();
    },
    stop(): void {
      stopped = true;
      clearTimeout(timeout);
      clearInterval(interval);
    },
  };
}
