import type { Algorithm } from '../vocabulary/algorithms.ts';
import type { KeyLookup, VerificationKey } from './key-lookup.ts';

/** The state of an issuer's keys, for `/readyz` and `/status`. */
export type KeySetState = {
  readonly state: 'loading' | 'fresh' | 'stale' | 'unavailable';
  readonly keys: number;
  /**
   * Time since the keys were last confirmed; undefined before the first load and for keys that need no
   * refresh.
   */
  readonly ageSeconds: number | undefined;
  /** Why the latest load failed; undefined if it did not fail. */
  readonly problem: string | undefined;
};

/** The keys of one issuer, kept current. Look-ups are synchronous and free of I/O. */
export type KeySet = {
  find(kid: string | undefined, algorithm: Algorithm): KeyLookup;
  /** True while the key is in the set and the set is not too old. */
  vouchesFor(key: VerificationKey): boolean;
  isUsable(): boolean;
  /**
   * Fetches newer keys because a token names an unknown one.
   * @returns resolves when the attempt has ended, successful or not; undefined during the cool-down
   */
  refreshForUnknownKey(): Promise<void> | undefined;
  /**
   * Finds a key in a set that is fetched after this call. Waits for that fetch for at most two cool-downs and
   * a fetch. Callers limit how many wait.
   * @param signal ends the wait
   * @returns `unavailable` when no newer set could be fetched
   */
  findNewer(kid: string | undefined, algorithm: Algorithm, signal: AbortSignal): Promise<KeyLookup>;
  state(): KeySetState;
  /** Loads the keys and keeps them current. Resolves after the first attempt, successful or not. */
  start(): Promise<void>;
  stop(): void;
};
