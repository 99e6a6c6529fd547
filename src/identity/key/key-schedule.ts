import type { StoredKey } from '../store/key-store.ts';

export type KeyPeriods = {
  /** Age at which a key gets a successor. */
  rotateEveryMs: number;
  /** How long a key is published before it signs: longer than anyone caches the key set. */
  publishAheadMs: number;
  /**
   * How long a key is published after its successor took over: longer than the tokens that it signed live.
   */
  keepMs: number;
};

export type KeySchedule = {
  /** The key that signs; undefined if no key has the algorithm. */
  active: StoredKey | undefined;
  /** The published keys, the active one first. */
  published: readonly StoredKey[];
  /** Keys to delete. */
  expired: readonly StoredKey[];
  /** Whether a new key is due. */
  isDue: boolean;
};

/**
 * Decides which keys of one purpose sign, are published, or have expired. Keys with another algorithm than
 * the configured one no longer sign, and expire like predecessors of the active key.
 */
export function scheduleKeys(
  keys: readonly StoredKey[],
  algorithm: string,
  nowMs: number,
  periods: KeyPeriods,
): KeySchedule {
  const usable = keys
    .filter((key) => key.algorithm === algorithm)
    .toSorted((a, b) => a.createdAtMs - b.createdAtMs || a.id.localeCompare(b.id));
  const newest = usable.at(-1);
  const active = usable.findLast((key) => key.createdAtMs + periods.publishAheadMs <= nowMs) ?? usable[0];
  if (active === undefined || newest === undefined)
    return { active: undefined, published: keys, expired: [], isDue: true };
  // The first key with an algorithm signs at once. Every other key is published first.
  const tookOverAtMs = active.createdAtMs + (active === usable[0] ? 0 : periods.publishAheadMs);
  const isExpired = (key: StoredKey): boolean =>
    key !== active && key.createdAtMs <= active.createdAtMs && tookOverAtMs + periods.keepMs <= nowMs;
  return {
    active,
    published: [active, ...keys.filter((key) => key !== active && !isExpired(key))],
    expired: keys.filter(isExpired),
    isDue: newest.createdAtMs + periods.rotateEveryMs <= nowMs,
  };
}

const publishAheadMs = 10 * 60 * 1000;
const keepMs = 24 * 60 * 60 * 1000;

export const keyPeriods = (rotateEveryMs: number): KeyPeriods => ({ rotateEveryMs, publishAheadMs, keepMs });

/**
 * `signing`: signs now; `next`: published, will sign later; `former`: published for the tokens that it
 * signed.
 */
export type ListedKey = {
  id: string;
  algorithm: string;
  state: 'signing' | 'next' | 'former';
  createdAtMs: number;
  isEncrypted: boolean;
};

/** Describes stored keys for operators. */
export function describeKeys(keys: readonly StoredKey[], active: StoredKey | undefined): ListedKey[] {
  return keys.map(({ id, algorithm, createdAtMs, isSealed }) => {
    const isLater = algorithm === active?.algorithm && createdAtMs >= active.createdAtMs;
    const state = id === active?.id ? 'signing' : isLater ? 'next' : 'former';
    return { id, algorithm, state, createdAtMs, isEncrypted: isSealed };
  });
}
