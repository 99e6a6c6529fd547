import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { MissedCause, OwnerMetrics } from '../runtime/metrics.ts';
import type { Heartbeat } from './heartbeat.ts';
import type { Receiver } from './receiver.ts';

/** A receiver, and how patient its sender is. */
export type MissedAt = {
  readonly receiver: Pick<Receiver, 'path' | 'issuers'>;
  /** How long its sender goes on trying to deliver; 0: it tries once. ms */
  readonly redeliveryMs: number;
};

export type MissedNotices = {
  /** An authentic notice could not be recorded. */
  authentic(at: MissedAt): void;
  /** A request was answered without being judged, and may have been an authentic notice. */
  possible(at: MissedAt, cause: Exclude<MissedCause, 'database'>): void;
};

const logEveryMs = 10_000;

/** Counts the notices that are or may be missed, warns of them, and has cut-offs make up for them. */
export function createMissedNotices(options: {
  readonly heartbeat: Pick<Heartbeat, 'missed' | 'mayHaveMissed'>;
  readonly metrics: Pick<OwnerMetrics, 'noticesMissed'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
}): MissedNotices {
  const { heartbeat, metrics, clock, log } = options;
  const warnings = new Map<string, { atMs: number; count: number }>();

  function warn(path: string, cause: MissedCause): void {
    const key = `${cause} ${path}`;
    const nowMs = clock.monotonicMs();
    const last = warnings.get(key) ?? { atMs: -Infinity, count: 0 };
    warnings.set(key, last);
    last.count += 1;
    if (nowMs - last.atMs < logEveryMs) return;
    log.warn('notices may have been turned away', { route: path, cause, count: last.count });
    last.atMs = nowMs;
    last.count = 0;
  }

  return {
    authentic: ({ receiver, redeliveryMs }) => {
      metrics.noticesMissed.inc({ cause: 'database' });
      if (redeliveryMs === 0) heartbeat.missed(receiver.issuers);
    },
    possible: ({ receiver, redeliveryMs }, cause) => {
      metrics.noticesMissed.inc({ cause });
      warn(receiver.path, cause);
      heartbeat.mayHaveMissed(receiver.issuers, redeliveryMs);
    },
  };
}
