import type { Clock } from '../runtime/clock.ts';
import type { FeedIssuer } from './feed.ts';
import type { Head } from '../revocation-log/head.ts';
import type { EventReport } from './intake.ts';
import type { PageRequest } from '../revocation-log/log-reading.ts';
import type { RevocationList } from './revocation-list.ts';

/**
 * What the view asks its driver to do. Replies go to `head` and `page` with the command's ticket. A failure
 * closes the connection.
 */
export type ViewCommand =
  | { readonly kind: 'probe'; readonly ticket: number }
  | ({ readonly kind: 'read'; readonly ticket: number } & PageRequest)
  /** Close the connection: it leads to a replica. */
  | { readonly kind: 'disconnect' }
  /** Call `tick` after this time. */
  | { readonly kind: 'wait'; readonly ms: number };

/**
 * Why the view reads the log. `behind`: the log has entries that no message announced. `seq_back`: Redis fell
 * back to an earlier state. `broken`: a read found an incomplete log.
 */
export type ResyncCause = 'start' | 'epoch' | 'behind' | 'seq_back' | 'broken';

/** Receives what the view finds, for logs, metrics and observers. It has no influence on decisions. */
export type ViewReport = {
  event: EventReport;
  resync(cause: ResyncCause): void;
  /** Called after each probe with the current head, or with the problem that makes it unusable. */
  head(head: Head | undefined, problem?: string): void;
};

export type ViewOptions = {
  readonly issuers: readonly FeedIssuer[];
  readonly list: RevocationList;
  readonly maxExposureMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly report: ViewReport;
  /** Entries in one page; default 1000. */
  readonly pageSize?: number;
};
