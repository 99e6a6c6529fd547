import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Outbox } from '../publisher/outbox.ts';
import type { Database, DatabaseTransaction } from '../database/database.ts';
import { createPendingCutOffs, type PendingCutOffs } from './pending-cut-offs.ts';
import type { HeartbeatStore } from './store/heartbeat-store.ts';

export type HeartbeatIssuer = {
  readonly issuer: string;
  /** The shortest time for which one of its senders retries a delivery; 0: one of them doesn't retry. */
  readonly redeliveryMs: number;
  /** False while its notices can't be verified. Then the issuer counts as not listened for. */
  isUsable(): boolean;
};

export type Heartbeat = {
  /**
   * Records that this replica receives notices. If no replica did for longer than an issuer's senders retry,
   * notices are lost. All tokens of the issuer are then revoked in the same transaction.
   */
  beat(): Promise<void>;
  /**
   * An authentic notice could not be recorded. If a sender of the issuer doesn't retry, the next beat revokes
   * all tokens of the issuer.
   */
  missed(issuers: readonly string[]): void;
  /**
   * A request that may have been a notice was refused without evaluation. If its sender doesn't retry, or if
   * this may have happened to each attempt, the next beat revokes all tokens of the issuers. It does so at
   * most once a minute, because anyone can cause it.
   * @param redeliveryMs how long the sender retries
   */
  mayHaveMissed(issuers: readonly string[], redeliveryMs: number): void;
  /** Revokes the tokens for everything that was missed so far. Call before the stop. */
  flush(): Promise<void>;
};

export type HeartbeatOptions = {
  readonly database: Database;
  readonly store: HeartbeatStore;
  readonly outbox: Pick<Outbox, 'recordEvents' | 'wake'>;
  readonly issuers: readonly HeartbeatIssuer[];
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
};

/** Longest gap between two beats of replicas that run; ms. */
const heartbeatGapMs = 2000;
/** Longest gap of a process that was only paused; ms. Its listening socket stayed open, so senders waited. */
const pauseGapMs = 10_000;
/** The reason of the events; a contract. */
const reason = 'absence';

export function createHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { store, issuers } = options;
  const started = new Set<string>();
  const pending = createPendingCutOffs(options.clock);
  const recordCutOffs = createCutOffRecorder(options, pending);
  const withoutRetry = new Set(
    issuers.filter(({ redeliveryMs }) => redeliveryMs === 0).map(({ issuer }) => issuer),
  );

  const allowedGapMs = ({ issuer, redeliveryMs }: HeartbeatIssuer): number => {
    if (pending.isDue(issuer)) return -Infinity;
    return Math.max(redeliveryMs, started.has(issuer) ? pauseGapMs : heartbeatGapMs);
  };

  return {
    beat: async () => {
      const usable = issuers.filter((issuer) => issuer.isUsable());
      if (usable.length === 0) return;
      await recordCutOffs(async (trx) => {
        const gaps = await store.beat(
          trx,
          usable.map(({ issuer }) => issuer),
        );
        const missed = usable.filter((one) => (gaps.get(one.issuer) ?? Infinity) > allowedGapMs(one));
        return missed.map(({ issuer }) => issuer);
      });
      for (const { issuer } of usable) started.add(issuer);
    },
    missed: (names) => pending.missed(names.filter((name) => withoutRetry.has(name))),
    mayHaveMissed: (names, redeliveryMs) => pending.mayHaveMissed(names, redeliveryMs),
    flush: async () => {
      const names = pending.all();
      if (names.length > 0) await recordCutOffs(() => Promise.resolve(names));
    },
  };
}

type RecordCutOffs = (due: (trx: DatabaseTransaction) => Promise<string[]>) => Promise<void>;

/**
 * Records a cut-off for each issuer that `due` returns, in the transaction that `due` gets, and logs them.
 */
function createCutOffRecorder(
  { database, outbox, log }: HeartbeatOptions,
  pending: PendingCutOffs,
): RecordCutOffs {
  return async (due) => {
    const before = pending.snapshot();
    const names = await database.db.transaction().execute(async (trx) => {
      const found = await due(trx);
      const cutOffs = found.map((iss) => ({ iss, kind: 'issuer' as const, reason }));
      if (cutOffs.length > 0) await outbox.recordEvents(trx, cutOffs);
      return found;
    });
    pending.recorded(names, before);
    if (names.length === 0) return;
    outbox.wake();
    for (const issuer of names)
      log.warn('notices may have been missed: revoked all tokens that the issuer has issued so far', {
        issuer,
        reason,
      });
  };
}

const everyMs = 1000;

/**
 * Beats once a second.
 * @returns a function that stops the heartbeat and resolves when the last beat has ended
 */
export function startHeartbeat(heartbeat: Pick<Heartbeat, 'beat'>, log: Log): () => Promise<void> {
  let running: Promise<void> | undefined;
  let isFailing = false;
  const beat = async (): Promise<void> => {
    try {
      await heartbeat.beat();
      isFailing = false;
    } catch (thrown) {
      if (!isFailing) log.error('cannot record the heartbeat of the receivers', { err: thrown });
      isFailing = true;
    }
  };
  const timer = setInterval(() => {
    running ??= beat().finally(() => {
      running = undefined;
    });
  }, everyMs).unref();
  return async () => {
    clearInterval(timer);
    await running;
  };
}
