import type { Clock } from '../runtime/clock.ts';
import type { Head, ReadHead } from '../revocation-log/head.ts';
import type { Append, LogReply, Seed, Switch, Takeover } from './log-writes.ts';
import type { OutboxEvent } from './outbox-event.ts';

export type LeaderOptions = {
  /** Names this process; two processes never share one. */
  readonly holder: string;
  /** Names the database; see `Head.owner`. */
  readonly owner: string;
  readonly issuers: readonly string[];
  readonly retentionSeconds: number;
  readonly clockToleranceSeconds: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly random: () => number;
  /** Between two looks at the outbox; ms. Read each time: it depends on whether notifications arrive. */
  readonly pollMs: number;
  /** Rows a drain takes; default 500. */
  readonly drainSize?: number;
  /** Rows a page of a seed holds; default 1000. */
  readonly seedSize?: number;
};

/** What the leader wants done next; one at a time. */
export type LeaderCommand =
  /** Takes the lease if it is free, or if it is still as `stuck` says. */
  | { readonly kind: 'take'; readonly stuck: LeaseSeen | undefined }
  | { readonly kind: 'renew'; readonly epoch: number }
  /** Raises the lease's epoch above its own and this one, if it is still ours. */
  | { readonly kind: 'raise'; readonly epoch: number; readonly above: number }
  | { readonly kind: 'head' }
  /** Brings the events of a log written by other people's code into the database. */
  | { readonly kind: 'import'; readonly head: Head }
  | { readonly kind: 'standing' }
  /** Rows that a new epoch must hold, by id, from above `after`. */
  | { readonly kind: 'page'; readonly after: number; readonly limit: number }
  | ({ readonly kind: 'seed' } & Seed)
  | ({ readonly kind: 'switch' } & Switch)
  | { readonly kind: 'expire'; readonly epochs: readonly number[] }
  /** Rows not published yet, by id. */
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

/** Rows and the lease as they are at one moment: read by one statement. */
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
  /** `epoch` is undefined if the lease is another's. */
  | { readonly kind: 'renew' | 'raise'; readonly epoch: number | undefined }
  | { readonly kind: 'head'; readonly read: ReadHead }
  /** Undefined if the log couldn't be read whole. */
  | { readonly kind: 'import'; readonly takeover: Takeover | undefined }
  | ({ readonly kind: 'standing' | 'page' | 'drain' } & LeasedRows)
  | { readonly kind: 'seed' | 'switch' | 'append'; readonly reply: LogReply }
  | { readonly kind: 'expire' | 'mark' | 'prune' };

export type LeaderRole = 'following' | 'seeding' | 'leading' | 'refused';

/** Needs no live connection to Redis. */
export const isDatabaseOnly = ({ kind }: LeaderCommand): boolean => kind === 'mark';
