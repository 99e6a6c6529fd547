import type { OutboxEvent } from './outbox-event.ts';

/** The head's answer to a writer: `ok`, or why nothing was written. */
export type LogReply = {
  readonly status: LogStatus;
  readonly owner: string;
  readonly epoch: number;
  readonly seq: number;
  readonly beat: number;
};

export const logStatuses = ['ok', 'absent', 'owner', 'epoch', 'sentinel', 'seq', 'count'] as const;
export type LogStatus = (typeof logStatuses)[number];

/** What stood in the way: `owner` and `epoch` are the head's. */
export type WriteRefusal = Pick<LogReply, 'status' | 'owner' | 'epoch'>;

/** Events to append to an epoch; sent again unchanged until there is an answer. */
export type Append = {
  readonly epoch: number;
  /** The log's sequence number before. */
  readonly seq: number;
  /** The beat to raise by one; undefined when the drain isn't whole. */
  readonly beat: number | undefined;
  readonly trimBelow: number | undefined;
  /** As `writeOutboxEvent` made them, numbered from `seq + 1`. */
  readonly members: readonly string[];
};

/** A log someone else's code wrote, to be replaced if it is still held, and as it was read. */
export type Takeover = { readonly owner: string; readonly seq: number; readonly hold: string };

/** Keeps a log from being written by other people's code for 5 s. */
export type Hold = {
  readonly owner: string;
  readonly epoch: number;
  /** Used for one hold only. */
  readonly token: string;
  /** False to prolong it. */
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

/** A revoked key and where in the log it stands now. */
export type StandingKey = { readonly event: OutboxEvent; readonly seq: number };
