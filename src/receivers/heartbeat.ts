import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Outbox } from '../publisher/outbox.ts';
import type { Database, DatabaseTransaction } from '../database/database.ts';
import { createOwedCutOffs, type OwedCutOffs } from './pending-cut-offs.ts';
import type { PresenceStore } from './store/heartbeat-store.ts';

export type ExpectedIssuer = {
  readonly issuer: string;
  /** The shortest time one of its senders goes on trying to deliver; 0: it tries once. */
  readonly redeliveryMs: number;
  /** False while its notices can't be verified: then nobody really listens. */
  isUsable(): boolean;
};

export type Presence = {
  /**
   * Says that we listen. For an issuer that nobody listened for longer than its senders try, notices are lost: all its
   * tokens are revoked, in the same transaction.
   */
  arrive(): Promise<void>;
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
  settle(): Promise<void>;
};

export type PresenceOptions = {
  readonly database: Database;
  readonly store: PresenceStore;
  readonly outbox: Pick<Outbox, 'recordEvents' | 'wake'>;
  readonly issuers: readonly ExpectedIssuer[];
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
};

/** Gaps up to this are the heartbeat's own. A replica that runs leaves none longer; ms. */
const heartbeatGapMs = 2000;
/** A pause of a process that lives: connections wait meanwhile, as senders do; ms. */
const pauseGapMs = 10_000;
const reason = 'absence';

export function createPresence(options: PresenceOptions): Presence {
  const { store, issuers } = options;
  const arrived = new Set<string>();
  const owed = createOwedCutOffs(options.clock);
  const makeUp = createMakingUp(options, owed);
  const triesOnce = new Set(
    issuers.filter(({ redeliveryMs }) => redeliveryMs === 0).map(({ issuer }) => issuer),
  );

  const allowedGapMs = ({ issuer, redeliveryMs }: ExpectedIssuer): number => {
    if (owed.isDue(issuer)) return -Infinity;
    return Math.max(redeliveryMs, arrived.has(issuer) ? pauseGapMs : heartbeatGapMs);
  };

  return {
    arrive: async () => {
      const here = issuers.filter((issuer) => issuer.isUsable());
      if (here.length === 0) return;
      await makeUp(async (trx) => {
        const gaps = await store.arrive(
          trx,
          here.map(({ issuer }) => issuer),
        );
        const absent = here.filter((one) => (gaps.get(one.issuer) ?? Infinity) > allowedGapMs(one));
        return absent.map(({ issuer }) => issuer);
      });
      for (const { issuer } of here) arrived.add(issuer);
    },
    missed: (names) => owed.missed(names.filter((name) => triesOnce.has(name))),
    mayHaveMissed: (names, redeliveryMs) => owed.mayHaveMissed(names, redeliveryMs),
    settle: async () => {
      const names = owed.all();
      if (names.length > 0) await makeUp(() => Promise.resolve(names));
    },
  };
}

type MakeUp = (due: (trx: DatabaseTransaction) => Promise<string[]>) => Promise<void>;

/** Records the cut-offs that are found due inside a transaction, and says so. */
function createMakingUp({ database, outbox, log }: PresenceOptions, owed: OwedCutOffs): MakeUp {
  return async (due) => {
    const before = owed.mark();
    const names = await database.db.transaction().execute(async (trx) => {
      const found = await due(trx);
      const cutOffs = found.map((iss) => ({ iss, kind: 'issuer' as const, reason }));
      if (cutOffs.length > 0) await outbox.recordEvents(trx, cutOffs);
      return found;
    });
    owed.paid(names, before);
    if (names.length === 0) return;
    outbox.wake();
    for (const issuer of names)
      log.warn('notices may be lost: all tokens of the issuer so far are revoked', { issuer, reason });
  };
}

const everyMs = 1000;

/** Arrives once a second. @returns stops it; resolves when the last arrival has ended */
export function keepPresence(presence: Pick<Presence, 'arrive'>, log: Log): () => Promise<void> {
  let running: Promise<void> | undefined;
  let isFailing = false;
  const beat = async (): Promise<void> => {
    try {
      await presence.arrive();
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
