import type { StoredKey } from '../store/key-store.ts';

export type KeyPeriods = {
  /** Age at which a key gets a successor. */
  rotateEveryMs: number;
  /** How long a key is published before it signs: longer than anyone keeps a copy of the key set. */
  publishAheadMs: number;
  /** How long a key is published after its successor took over: longer than what it signed is used. */
  keepMs: number;
};

export type KeySchedule = {
  /** What signs now; undefined when there is no key of the algorithm. */
  active: StoredKey | undefined;
  /** What is published: the active key first. */
  published: readonly StoredKey[];
  /** What nobody needs any more. */
  expired: readonly StoredKey[];
  /** Whether it is time for a new key. */
  isDue: boolean;
};

/**
 * Decides what each key of one purpose is good for now. Keys of another algorithm than the configured one, left from
 * before a change of configuration, sign no more and expire like predecessors.
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
  // The first key of an algorithm signs at once; every other waits.
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

/** `signing`: in use; `next`: published, and signs later; `former`: published for what it signed. */
export type ListedKey = {
  id: string;
  algorithm: string;
  state: 'signing' | 'next' | 'former';
  createdAtMs: number;
  isEncrypted: boolean;
};

/** Stored keys as one wants to see them. */
export function describeKeys(keys: readonly StoredKey[], active: StoredKey | undefined): ListedKey[] {
  return keys.map(({ id, algorithm, createdAtMs, isSealed }) => {
    const isLater = algorithm === active?.algorithm && createdAtMs >= active.createdAtMs;
    const state = id === active?.id ? 'signing' : isLater ? 'next' : 'former';
    return { id, algorithm, state, createdAtMs, isEncrypted: isSealed };
  });
}
