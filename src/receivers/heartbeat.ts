import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Outbox } from '../publisher/outbox.ts';
import type { Database, DatabaseTransaction } from '../database/database.ts';
import { createPendingCutOffs, type PendingCutOffs } from './pending-cut-offs.ts';
import type { HeartbeatStore } from './store/heartbeat-store.ts';

export type HeartbeatIssuer = {
  readonly issuer: string;
  /** The shortest time one of its senders goes on trying to deliver; 0: it tries once. */
  readonly redeliveryMs: number;
  /** False while its notices can't be verified: then nobody really listens. */
  isUsable(): boolean;
};

export type Heartbeat = {
  /**
   * Says that we listen. For an issuer that nobody listened for longer than its senders try, notices are lost: all its
   * tokens are revoked, in the same transaction.
   */
  beat(): Promise<void>;
  /**
   * An authentic notice could not be recorded. For an issuer with a sender that tries once, all tokens are revoked with
   * the next arrival.
   */
  missed(issuers: readonly string[]): void;
  /**
   * What may have been a notice was answered without being judged. If its sender tries once, or all its attempts may
   * have met with that, all tokens of the issuers are revoked, at most once a minute: anyone can cause it.
   * @param redeliveryMs how long the sender goes on trying
   */
  mayHaveMissed(issuers: readonly string[], redeliveryMs: number): void;
  /** Makes up for everything missed so far, before the stop. */
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

/** Gaps up to this are the heartbeat's own. A replica that runs leaves none longer; ms. */
const heartbeatGapMs = 2000;
/** A pause of a process that lives: connections wait meanwhile, as senders do; ms. */
const pauseGapMs = 10_000;
const reason = 'absence';

export function createHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { store, issuers } = options;
  const arrived = new Set<string>();
  const pending = createPendingCutOffs(options.clock);
  const recordCutOffs = createCutOffRecorder(options, pending);
  const triesOnce = new Set(
    issuers.filter(({ redeliveryMs }) => redeliveryMs === 0).map(({ issuer }) => issuer),
  );

  const allowedGapMs = ({ issuer, redeliveryMs }: HeartbeatIssuer): number => {
    if (pending.isDue(issuer)) return -Infinity;
    return Math.max(redeliveryMs, arrived.has(issuer) ? pauseGapMs : heartbeatGapMs);
  };

  return {
    beat: async () => {
      const here = issuers.filter((issuer) => issuer.isUsable());
      if (here.length === 0) return;
      await recordCutOffs(async (trx) => {
        const gaps = await store.beat(
          trx,
          here.map(({ issuer }) => issuer),
        );
        const absent = here.filter((one) => (gaps.get(one.issuer) ?? Infinity) > allowedGapMs(one));
        return absent.map(({ issuer }) => issuer);
      });
      for (const { issuer } of here) arrived.add(issuer);
    },
    missed: (names) => pending.missed(names.filter((name) => triesOnce.has(name))),
    mayHaveMissed: (names, redeliveryMs) => pending.mayHaveMissed(names, redeliveryMs),
    flush: async () => {
      const names = pending.all();
      if (names.length > 0) await recordCutOffs(() => Promise.resolve(names));
    },
  };
}

type RecordCutOffs = (due: (trx: DatabaseTransaction) => Promise<string[]>) => Promise<void>;

/** Records the cut-offs that are found due inside a transaction, and says so. */
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
      log.warn('notices may be lost: all tokens of the issuer so far are revoked', { issuer, reason });
  };
}

const everyMs = 1000;

/** Arrives once a second. @returns stops it; resolves when the last arrival has ended */
export function startHeartbeat(heartbeat: Pick<Heartbeat, 'beat'>, log: Log): () => Promise<void> {
  let running: Promise<void> | undefined;
  let isFailing = false;
  const beat = async (): Promise<void> => {
    try {
      await heartbeat.beat();
      isFailing = false;
    } catch (thrown) {
      if (!isFailing) log.error('the database does not take notices', { err: thrown });
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
