import type { Algorithm } from '../vocabulary/algorithms.ts';
import { createKeyRing, findKey, type KeyLookup, type VerificationKey } from './key-ring.ts';

/** How an issuer's keys are doing, for `/readyz` and `/status`. */
export type KeySetState = {
  readonly state: 'loading' | 'fresh' | 'stale' | 'unavailable';
  readonly keys: number;
  /** Time since the keys were last confirmed; undefined before the first load and for keys that need no refresh. */
  readonly ageSeconds: number | undefined;
  /** Why the latest load failed; undefined when it did not. */
  readonly problem: string | undefined;
};

/** The keys of one issuer, kept current by whatever means. Look-ups are synchronous and free of I/O. */
export type KeySet = {
  find(kid: string | undefined, algorithm: Algorithm): KeyLookup;
  /** True while the key may be relied on: it is in the set, and the set is not too old. */
  vouchesFor(key: VerificationKey): boolean;
  isUsable(): boolean;
  /**
   * Asks for newer keys because a token names one that is unknown.
   * @returns resolves when the attempt is over, whatever came of it; undefined when the cool-down forbids one
   */
  refreshForUnknownKey(): Promise<void> | undefined;
  /**
   * Finds a key that a set fetched after this call may hold, and waits for that fetch as long as the cool-down demands:
   * for two cool-downs and a fetch at most. Callers bound how many wait.
   * @param signal ends the wait
   * @returns `unavailable` when no newer set could be had
   */
  findNewer(kid: string | undefined, algorithm: Algorithm, signal: AbortSignal): Promise<KeyLookup>;
  state(): KeySetState;
  /** Loads the keys for the first time and keeps them current. Resolves after the first attempt, good or bad. */
  start(): Promise<void>;
  stop(): void;
};

/** Keys that never change. */
export function createFixedKeySet(keys: readonly VerificationKey[]): KeySet {
  const ring = createKeyRing(keys);
  return {
    find: (kid, algorithm) => findKey(ring, kid, algorithm),
    vouchesFor: (key) => ring.keys.has(key),
    isUsable: () => true,
    refreshForUnknownKey: () => undefined,
    findNewer: (kid, algorithm) => Promise.resolve(findKey(ring, kid, algorithm)),
    state: () => ({ state: 'fresh', keys: ring.keys.size, ageSeconds: undefined, problem: undefined }),
    start: () => Promise.resolve(),
    stop: () => undefined,
  };
}
