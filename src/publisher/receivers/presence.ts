import type { Log } from '../../runtime/log.ts';
import type { Outbox } from '../outbox.ts';
import type { Database } from '../store/database.ts';
import type { PresenceStore } from './store/presence-store.ts';

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
  /** An authentic notice could not be recorded. A sender that tries once won't bring it again. */
  missed(issuers: readonly string[]): void;
};

/** Gaps up to this are the heartbeat's own. A replica that runs leaves none longer; ms. */
const heartbeatGapMs = 2000;
/** A pause of a process that lives: connections wait meanwhile, as senders do; ms. */
const pauseGapMs = 10_000;
const reason = 'absence';

export function createPresence(options: {
  readonly database: Database;
  readonly store: PresenceStore;
  readonly outbox: Pick<Outbox, 'recordEvents' | 'wake'>;
  readonly issuers: readonly ExpectedIssuer[];
  readonly log: Log;
}): Presence {
  const { database, store, outbox, issuers, log } = options;
  const arrived = new Set<string>();
  /** Notices missed, counted: one may be missed while the last is being made up for. */
  const missed = new Map<string, number>();

  const allowedGapMs = ({ issuer, redeliveryMs }: ExpectedIssuer): number => {
    if (missed.has(issuer) && redeliveryMs === 0) return -Infinity;
    return Math.max(redeliveryMs, arrived.has(issuer) ? pauseGapMs : heartbeatGapMs);
  };

  /** @returns issuers whose notices may be lost */
  async function note(here: readonly ExpectedIssuer[]): Promise<string[]> {
    const names = here.map(({ issuer }) => issuer);
    return await database.db.transaction().execute(async (trx) => {
      const gaps = await store.arrive(trx, names);
      const gone = here.filter((one) => (gaps.get(one.issuer) ?? Infinity) > allowedGapMs(one));
      const cutOffs = gone.map(({ issuer: iss }) => ({ iss, kind: 'issuer' as const, reason }));
      if (cutOffs.length > 0) await outbox.recordEvents(trx, cutOffs);
      return cutOffs.map(({ iss }) => iss);
    });
  }

  return {
    arrive: async () => {
      const here = issuers.filter((issuer) => issuer.isUsable());
      if (here.length === 0) return;
      const before = new Map(missed);
      const absent = await note(here);
      for (const { issuer } of here) {
        arrived.add(issuer);
        if (missed.get(issuer) === before.get(issuer)) missed.delete(issuer);
      }
      if (absent.length === 0) return;
      outbox.wake();
      for (const issuer of absent)
        log.warn('notices may be lost: all tokens of the issuer so far are revoked', { issuer, reason });
    },
    missed: (names) => {
      for (const name of names) missed.set(name, (missed.get(name) ?? 0) + 1);
    },
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
