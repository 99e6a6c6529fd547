import type { Clock } from '../runtime/clock.ts';

type PendingCount = { readonly certain: number; readonly possible: number };

export type PendingSnapshot = ReadonlyMap<string, PendingCount>;

/** The issuers whose tokens must be revoked because notices were missed, and when. */
export type PendingCutOffs = {
  /** Notices about these issuers were certainly missed. Cut-offs are due at once. */
  missed(issuers: readonly string[]): void;
  /**
   * Notices may have been missed. A cut-off is due at once, but not within a minute after the last one. If
   * the sender retries, a notice is lost only when this method was called continually for as long as the
   * sender retries.
   */
  mayHaveMissed(issuers: readonly string[], redeliveryMs: number): void;
  isDue(issuer: string): boolean;
  /** The issuers with a pending cut-off, due or not. */
  all(): string[];
  snapshot(): PendingSnapshot;
  /** Cut-offs for these issuers were recorded. What was missed after the snapshot stays pending. */
  recorded(issuers: readonly string[], before: PendingSnapshot): void;
};

const everyMs = 60_000;
const nothing: PendingCount = { certain: 0, possible: 0 };

type Episode = { startedAtMs: number; lastAtMs: number };

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

  /** An episode ends when no request was refused for a minute. */
  function hasLasted(issuer: string, redeliveryMs: number): boolean {
    const nowMs = clock.monotonicMs();
    const key = `${redeliveryMs} ${issuer}`;
    const known = episodes.get(key);
    const continues = known !== undefined && nowMs - known.lastAtMs <= everyMs;
    const episode = { startedAtMs: continues ? known.startedAtMs : nowMs, lastAtMs: nowMs };
    episodes.set(key, episode);
    return nowMs - episode.startedAtMs >= redeliveryMs;
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
