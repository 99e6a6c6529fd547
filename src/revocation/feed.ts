import type { Clock } from '../runtime/clock.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import type { RevocationEvent, RevocationKind } from '../revocation-log/event.ts';
import type { UnprovenIssuer } from './completeness.ts';
import type { RedisOptions } from '../redis/connection.ts';
import type { Revocations } from './revocable.ts';

/**
 * How sure the view is of the issuers that can be proven (`FeedStatus.unproven` names the others). `starting`: no
 * connection or no log yet. `syncing`: reading the log, or no issuer can be proven. `live`: every revocation older than
 * `maxExposure` is known. `stale`: it was live, and can't prove it any more.
 */
export const feedStates = ['starting', 'syncing', 'live', 'stale'] as const;
export type FeedState = (typeof feedStates)[number];

export type FeedIssuer = {
  readonly issuer: string;
  /** How far this issuer's clock may be ahead of ours; seconds. */
  readonly clockToleranceSeconds: number;
};

export type RevocationFeedOptions = {
  readonly redis: RedisOptions;
  readonly logName: string;
  /** The issuers whose tokens are judged; revocations of others aren't kept. */
  readonly issuers: readonly FeedIssuer[];
  /** Longest time a revoked token may still pass, whatever fails; ms. Decides here only what `live` means. */
  readonly maxExposureMs: number;
  /** Revocations held at most in each of two generations. */
  readonly maxEntries: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<
    AuthorizerMetrics,
    | 'revocations'
    | 'revocationEvents'
    | 'propagation'
    | 'feedState'
    | 'feedStaleness'
    | 'feedUnproven'
    | 'feedResyncs'
  >;
  /** 0 to 1, for jitter; default `Math.random`. */
  readonly random?: () => number;
  /** Told of everything that arrives, of all issuers; for `curfew watch`. */
  readonly observe?: (observation: FeedEvent) => void;
};

export type FeedEvent =
  | {
      readonly kind: 'event';
      readonly via: 'message' | 'log' | 'unlogged';
      readonly seq: number | undefined;
      readonly event: RevocationEvent;
    }
  /** About once a second, and when a connection ends. */
  | { readonly kind: 'status'; readonly status: FeedStatus };

export type FeedStatus = {
  readonly state: FeedState;
  /** Worst of the issuers that can be proven; null while nothing is proven. */
  readonly stalenessMs: number | null;
  readonly log: string;
  readonly address: string;
  readonly connected: boolean;
  readonly owner: string | undefined;
  readonly truth: 'owner' | 'redis' | undefined;
  readonly covers: readonly string[];
  /** Configured issuers the log doesn't vouch for. */
  readonly uncovered: readonly string[];
  /** Configured issuers about whom nothing can be proven, and why: older tokens of theirs are refused. */
  readonly unproven: readonly UnprovenIssuer[];
  readonly epoch: number | undefined;
  readonly seq: number | undefined;
  readonly applied: number | undefined;
  readonly beat: number | undefined;
  readonly retentionSeconds: number | undefined;
  readonly entries: Readonly<Record<RevocationKind, number>>;
  readonly floors: readonly string[];
  /** The latest events, newest first; ids as short hashes. */
  readonly lastEvents: readonly {
    readonly kind: RevocationKind;
    readonly issuer: string;
    readonly idHash: string;
    readonly at: number;
    readonly reason: string | undefined;
  }[];
};

/** The authorizer's view of what is revoked, kept by a connection to Redis. */
export type RevocationFeed = Part & {
  readonly revocations: Revocations;
  /** For `/status` and `/readyz`. Cost: hashes the last events' ids. */
  status(): FeedStatus;
  /** True from the first moment at which everything was proven that can be, for good. */
  wasSynced(): boolean;
  /** Resolves with true once `wasSynced`, with false after `timeoutMs`; 0 doesn't wait, Infinity waits for good. */
  waitForSync(timeoutMs: number): Promise<boolean>;
};
