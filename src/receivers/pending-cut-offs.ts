import type { Clock } from '../runtime/clock.ts';

type Owed = { readonly certain: number; readonly possible: number };

/** What was owed at a moment. */
export type Mark = ReadonlyMap<string, Owed>;

/** The issuers whose tokens have to be revoked because notices were missed, and when. */
export type OwedCutOffs = {
  /** Notices about these issuers were missed for certain: due at once. */
  missed(issuers: readonly string[]): void;
  /**
   * Notices may have been missed: due at once, but no sooner than a minute after the last cut-off. A sender that tries
   * again has missed its last chance only when this has been said continually for as long as it tries.
   */
  mayHaveMissed(issuers: readonly string[], redeliveryMs: number): void;
  isDue(issuer: string): boolean;
  /** All that is owed, due or not. */
  all(): string[];
  mark(): Mark;
  /** The tokens of these were revoked for what was owed at the mark. What was missed since stays owed. */
  paid(issuers: readonly string[], before: Mark): void;
};

const everyMs = 60_000;
const nothing: Owed = { certain: 0, possible: 0 };

type Episode = { beganAtMs: number; lastAtMs: number };

export function createOwedCutOffs(clock: Pick<Clock, 'monotonicMs'>): OwedCutOffs {
  const owed = new Map<string, Owed>();
  const paidAtMs = new Map<string, number>();
  const episodes = new Map<string, Episode>();

  function owe(issuer: string, more: Partial<Owed>): void {
    const { certain, possible } = owed.get(issuer) ?? nothing;
    owed.set(issuer, {
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
      for (const issuer of issuers) owe(issuer, { certain: 1 });
    },
    mayHaveMissed: (issuers, redeliveryMs) => {
      for (const issuer of issuers) if (hasLasted(issuer, redeliveryMs)) owe(issuer, { possible: 1 });
    },
    isDue: (issuer) => {
      const known = owed.get(issuer);
      if (known === undefined) return false;
      return known.certain > 0 || clock.monotonicMs() - (paidAtMs.get(issuer) ?? -Infinity) >= everyMs;
    },
    all: () => [...owed.keys()],
    mark: () => new Map(owed),
    paid: (issuers, before) => {
      for (const issuer of issuers) {
        paidAtMs.set(issuer, clock.monotonicMs());
        const { certain, possible } = before.get(issuer) ?? nothing;
        owe(issuer, { certain: -certain, possible: -possible });
        const left = owed.get(issuer) ?? nothing;
        if (left.certain + left.possible === 0) owed.delete(issuer);
      }
    },
  };
}
