import type { OutboxEvent } from './outbox-event.ts';

/** The reply of a script: `ok` or why it wrote nothing, and the head as it is now. */
export type LogReply = {
  readonly status: LogStatus;
  readonly owner: string;
  readonly epoch: number;
  readonly seq: number;
  readonly beat: number;
};

export const logStatuses = ['ok', 'absent', 'owner', 'epoch', 'sentinel', 'seq', 'count'] as const;
export type LogStatus = (typeof logStatuses)[number];

/** Why a script wrote nothing. `owner` and `epoch` are those of the head. */
export type WriteRefusal = Pick<LogReply, 'status' | 'owner' | 'epoch'>;

/** Events to append to an epoch. The call is sent again unchanged until it is answered. */
export type Append = {
  readonly epoch: number;
  /** The log's last sequence number before the call. */
  readonly seq: number;
  /** The beat before the call, which raises it by one; undefined if the drain isn't complete. */
  readonly beat: number | undefined;
  readonly trimBelow: number | undefined;
  /** As `writeOutboxEvent` made them, numbered from `seq + 1`. */
  readonly members: readonly string[];
};

/** A log of third-party code that is taken over, if it is still held and still as it was read. */
export type Takeover = { readonly owner: string; readonly seq: number; readonly hold: string };

/** Keeps third-party code from writing a log for 5 s. */
export type Hold = {
  readonly owner: string;
  readonly epoch: number;
  /** Unique to this hold. */
  readonly token: string;
  /** True to start the hold, false to prolong it. */
  readonly isFirst: boolean;
};

export type Seed = {
  readonly epoch: number;
  readonly isFirst: boolean;
  readonly firstSeq: number;
  readonly members: readonly string[];
  readonly takeover: Takeover | undefined;
};

export type Switch = {
  readonly epoch: number;
  readonly count: number;
  readonly takeover: Takeover | undefined;
};

/** A revoked key, and the sequence number of its latest entry. */
export type StandingKey = { readonly event: OutboxEvent; readonly seq: number };
