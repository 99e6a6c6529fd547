import type { Clock } from '../runtime/clock.ts';
import type { Head, ReadHead } from '../revocation-log/head.ts';
import type { Append, LogReply, Seed, Switch, Takeover } from './log-writes.ts';
import type { OutboxEvent } from './outbox-event.ts';

export type LeaderOptions = {
  /** Identifies this process; unique. */
  readonly holder: string;
  /** Identifies the database; see `Head.owner`. */
  readonly owner: string;
  readonly issuers: readonly string[];
  readonly retentionSeconds: number;
  readonly clockToleranceSeconds: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly random: () => number;
  /** Time between two drains; ms. Read each time, as it depends on whether database notifications arrive. */
  readonly pollMs: number;
  /** Largest number of rows in a drain; default 500. */
  readonly drainSize?: number;
  /** Largest number of rows in a page of a seed; default 1000. */
  readonly seedSize?: number;
};

/** What the leader asks its driver to do. One command is in flight at a time. */
export type LeaderCommand =
  /** Takes the lease if it has expired, or if it hasn't changed since `stuck` was read. */
  | { readonly kind: 'take'; readonly stuck: LeaseSeen | undefined }
  | { readonly kind: 'renew'; readonly epoch: number }
  /** Raises the lease's epoch above both `epoch` and `above`, if this process still holds the lease. */
  | { readonly kind: 'raise'; readonly epoch: number; readonly above: number }
  | { readonly kind: 'head' }
  /** Copies the events of a log that third-party code writes into the database. */
  | { readonly kind: 'import'; readonly head: Head }
  /** Reads all revoked keys. */
  | { readonly kind: 'standing' }
  /** Reads rows that a new epoch must hold, with ids above `after`, in the order of their ids. */
  | { readonly kind: 'page'; readonly after: number; readonly limit: number }
  | ({ readonly kind: 'seed' } & Seed)
  | ({ readonly kind: 'switch' } & Switch)
  | { readonly kind: 'expire'; readonly epochs: readonly number[] }
  /** Reads unpublished rows, in the order of their ids. */
  | { readonly kind: 'drain'; readonly limit: number }
  | ({ readonly kind: 'append' } & Append)
  | { readonly kind: 'mark'; readonly epoch: number; readonly rows: readonly PublishedRow[] }
  | { readonly kind: 'prune' };

export type LeaseSeen = { readonly epoch: number; readonly renewals: number };

export type PublishedRow = { readonly id: number; readonly seq: number };

export type OutboxRow = {
  readonly id: number;
  readonly event: OutboxEvent;
  readonly isPublished: boolean;
};

/** Rows and the lease, which one statement read together. */
export type LeasedRows = {
  readonly holder: string | undefined;
  readonly epoch: number;
  /** The database's clock; ms. */
  readonly nowMs: number;
  readonly rows: readonly OutboxRow[];
};

/** The reply to the command of the same kind. */
export type LeaderReply =
  | ({ readonly kind: 'take' } & ({ readonly taken: number } | { readonly held: LeaseSeen }))
  /** `epoch` is undefined if another process holds the lease. */
  | { readonly kind: 'renew' | 'raise'; readonly epoch: number | undefined }
  | { readonly kind: 'head'; readonly read: ReadHead }
  /** `takeover` is undefined if the log couldn't be read completely. */
  | { readonly kind: 'import'; readonly takeover: Takeover | undefined }
  | ({ readonly kind: 'standing' | 'page' | 'drain' } & LeasedRows)
  | { readonly kind: 'seed' | 'switch' | 'append'; readonly reply: LogReply }
  | { readonly kind: 'expire' | 'mark' | 'prune' };

export type LeaderRole = 'following' | 'seeding' | 'leading' | 'refused';

/** True for a command that needs no connection to Redis. */
export const isDatabaseOnly = ({ kind }: LeaderCommand): boolean => kind === 'mark';
