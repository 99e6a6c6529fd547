import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { OwnerMetrics } from '../runtime/metrics.ts';
import type { RedisOptions } from '../redis/connection.ts';
import type { OutboxIssuer } from './outbox.ts';
import type { Database } from '../database/database.ts';

export type PublisherIssuer = OutboxIssuer & {
  /** Longest lifetime of this issuer's tokens; ms. It decides the retention of the log. */
  readonly maxTokenLifetimeMs: number;
};

export type PublisherOptions = {
  /** Migrated with `outboxMigrations`. */
  readonly database: Database;
  readonly redis: RedisOptions;
  readonly logName: string;
  /** Default: a random id, which is stored in the database. */
  readonly owner?: string;
  readonly issuers: readonly PublisherIssuer[];
  /** How far the clocks of issuers, sidecars and database may be apart; ms. */
  readonly clockToleranceMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<OwnerMetrics, 'outboxPending' | 'outboxAge' | 'logLeader' | 'logReseeds'>;
  /** 0 to 1, for jitter; default `Math.random`. */
  readonly random?: () => number;
};

export type PublisherStatus = {
  readonly log: string;
  readonly address: string;
  readonly connected: boolean;
  readonly owner: string | undefined;
  /**
   * `leading` writes the log, `seeding` rebuilds it, `following` is on standby; `refused`: another owner has
   * the log.
   */
  readonly role: 'starting' | 'following' | 'seeding' | 'leading' | 'refused';
  readonly epoch: number | undefined;
  readonly seq: number | undefined;
  readonly beat: number | undefined;
  readonly pending: number | undefined;
  /** Why it doesn't write the log, for the operator. */
  readonly problem: string | undefined;
};
