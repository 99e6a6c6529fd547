import type { Clock } from '../runtime/clock.ts';

type PendingCount = { readonly certain: number; readonly possible: number };

/** What was pending at a moment. */
export type PendingSnapshot = ReadonlyMap<string, PendingCount>;

/** The issuers whose tokens have to be revoked because notices were missed, and when. */
export type PendingCutOffs = {
  /** Notices about these issuers were missed for certain: due at once. */
  missed(issuers: readonly string[]): void;
  /**
   * Notices may have been missed: due at once, but no sooner than a minute after the last cut-off. A sender that tries
   * again has missed its last chance only when this has been said continually for as long as it tries.
   */
  mayHaveMissed(issuers: readonly string[], redeliveryMs: number): void;
  isDue(issuer: string): boolean;
  /** All that is pending, due or not. */
  all(): string[];
  snapshot(): PendingSnapshot;
  /** The tokens of these were revoked for what was pending at the mark. What was missed since stays pending. */
  recorded(issuers: readonly string[], before: PendingSnapshot): void;
};

const everyMs = 60_000;
const nothing: PendingCount = { certain: 0, possible: 0 };

type Episode = { beganAtMs: number; lastAtMs: number };

export function createPendingCutOffs(clock: Pick<Clock, 'monotonicMs'>): PendingCutOffs {
  const pending = new Map<string, PendingCount>();
  const recordedAtMs = new Map<string, number>();
  const episodes = new Map<string, Episode>();

  function add(issuer: string, more: Partial<PendingCount>): void {
    const { certain, possible } = pending.get(issuer) ?? nothing;
    pending.set(issuer, {
      certain: certain + (more.certain ?? 0),
      possible: possible + (more.possible ?? 0),
    });
  }

  /** An episode ends when nothing was turned away for a minute. */
  function hasLasted(issuer: string, redeliveryMs: number): boolean {
    const nowMs = clock.monotonicMs();
    const key = `${redeliveryMs} ${issuer}`;
    const known = episodes.get(key);
    const goesOn = known !== undefined && nowMs - known.lastAtMs <= everyMs;
    const episode = { beganAtMs: goesOn ? known.beganAtMs : nowMs, lastAtMs: nowMs };
    episodes.set(key, episode);
    return nowMs - episode.beganAtMs >= redeliveryMs;
  }

  return {
    missed: (issuers) => {
      for (const issuer of issuers) add(issuer, { certain: 1 });
    },
    mayHaveMissed: (issuers, redeliveryMs) => {
      for (const issuer of issuers) if (hasLasted(issuer, redeliveryMs)) add(issuer, { possible: 1 });
    },
    isDue: (issuer) => {
      const known = pending.get(issuer);
      if (known === undefined) return false;
      return known.certain > 0 || clock.monotonicMs() - (recordedAtMs.get(issuer) ?? -Infinity) >= everyMs;
    },
    all: () => [...pending.keys()],
    snapshot: () => new Map(pending),
    recorded: (issuers, before) => {
      for (const issuer of issuers) {
        recordedAtMs.set(issuer, clock.monotonicMs());
        const { certain, possible } = before.get(issuer) ?? nothing;
        add(issuer, { certain: -certain, possible: -possible });
        const left = pending.get(issuer) ?? nothing;
        if (left.certain + left.possible === 0) pending.delete(issuer);
      }
    },
  };
}
