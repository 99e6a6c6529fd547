import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { MissedCause, OwnerMetrics } from '../runtime/metrics.ts';
import type { Heartbeat } from './heartbeat.ts';
import type { Receiver } from './receiver.ts';

/** The receiver that missed a notice. */
export type MissedAt = {
  readonly receiver: Pick<Receiver, 'path' | 'issuers'>;
  /** How long the sender retries a delivery; ms. 0: it doesn't retry. */
  readonly redeliveryMs: number;
};

export type MissedNotices = {
  /** An authentic notice could not be recorded. */
  authentic(at: MissedAt): void;
  /** A request that may have been an authentic notice was refused without evaluation. */
  possible(at: MissedAt, cause: Exclude<MissedCause, 'database'>): void;
};

const logEveryMs = 10_000;

/**
 * Counts and logs notices that are missed or may be missed, and asks the heartbeat to revoke tokens for them.
 */
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
    log.warn('notices may have been missed', { route: path, cause, count: last.count });
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
