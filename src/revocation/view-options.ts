import type { Clock } from '../runtime/clock.ts';
import type { FeedIssuer } from './feed.ts';
import type { Head } from '../revocation-log/head.ts';
import type { EventReport } from './intake.ts';
import type { PageRequest } from '../revocation-log/log-reading.ts';
import type { RevocationList } from './revocation-list.ts';

/** What the view wants done. Replies go to `head` and `page` with the command's ticket; a failure closes the connection. */
export type ViewCommand =
  | { readonly kind: 'probe'; readonly ticket: number }
  | ({ readonly kind: 'read'; readonly ticket: number } & PageRequest)
  /** End the connection: it leads to a replica. */
  | { readonly kind: 'disconnect' }
  /** Call `tick` after this time. */
  | { readonly kind: 'wait'; readonly ms: number };

/** `behind`: entries came that no message brought. `seq_back`: Redis fell back. `broken`: a read found no whole log. */
export type ResyncCause = 'start' | 'epoch' | 'behind' | 'seq_back' | 'broken';

/** What others may want to know; nothing here decides. */
export type ViewReport = {
  event: EventReport;
  resync(cause: ResyncCause): void;
  /** After each probe: the log as it is now. */
  head(head: Head | undefined, problem?: string): void;
};

export type ViewOptions = {
  readonly issuers: readonly FeedIssuer[];
  readonly list: RevocationList;
  readonly maxExposureMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly report: ViewReport;
  /** Entries read at once; default 1000. */
  readonly pageSize?: number;
};
