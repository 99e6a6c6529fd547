import type { Clock } from '../runtime/clock.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import type { RevocationEvent, RevocationKind } from '../revocation-log/event.ts';
import type { UnprovenIssuer } from './completeness.ts';
import type { RedisOptions } from '../redis/connection.ts';
import type { Revocations } from './revocable.ts';

/**
 * How sure the view is of the issuers that can be proven (`FeedStatus.unproven` names the others).
 * `starting`: no connection or no log yet. `syncing`: reading the log, or no issuer can be proven. `live`:
 * every revocation older than `maxExposure` is known. `stale`: it was live, and can't prove it any more.
 */
export const feedStates = ['starting', 'syncing', 'live', 'stale'] as const;
export type FeedState = (typeof feedStates)[number];

export type FeedIssuer = {
  readonly issuer: string;
  /** How far this issuer's clock may be ahead of this machine's; seconds. */
  readonly clockToleranceSeconds: number;
};

export type RevocationFeedOptions = {
  readonly redis: RedisOptions;
  readonly logName: string;
  /** The issuers whose tokens are evaluated. Revocations of other issuers aren't kept. */
  readonly issuers: readonly FeedIssuer[];
  /** Longest time for which a revoked token may still pass; ms. The feed uses it only to define `live`. */
  readonly maxExposureMs: number;
  /** Largest number of revocations in each of the two generations. */
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
  /** Called for everything that arrives, of all issuers; for `curfew watch`. */
  readonly onEvent?: (event: FeedEvent) => void;
};

export type FeedEvent =
  | {
      readonly kind: 'event';
      readonly via: 'message' | 'log' | 'unlogged';
      readonly seq: number | undefined;
      readonly event: RevocationEvent;
    }
  /** Sent about once a second, and when a connection ends. */
  | { readonly kind: 'status'; readonly status: FeedStatus };

export type FeedStatus = {
  readonly state: FeedState;
  /** The largest staleness of the issuers that can be proven; null while nothing is proven. */
  readonly stalenessMs: number | null;
  readonly log: string;
  readonly address: string;
  readonly connected: boolean;
  readonly owner: string | undefined;
  readonly truth: 'owner' | 'redis' | undefined;
  readonly covers: readonly string[];
  /** Configured issuers that the log doesn't cover. */
  readonly uncovered: readonly string[];
  /** Configured issuers without a proof, each with the cause. Their older tokens are refused. */
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

/** The revocations that this process knows, kept current over a connection to Redis. */
export type RevocationFeed = Part & {
  readonly revocations: Revocations;
  /** For `/status` and `/readyz`. Cost: hashes the last events' ids. */
  status(): FeedStatus;
  /**
   * True from the first moment at which everything that can be proven was proven. Never becomes false again.
   */
  wasSynced(): boolean;
  /**
   * Resolves with true once `wasSynced`, with false after `timeoutMs`; 0 doesn't wait, Infinity waits for
   * good.
   */
  waitForSync(timeoutMs: number): Promise<boolean>;
};
