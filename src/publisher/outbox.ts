import { sql, type RawBuilder, type Transaction } from 'kysely';
import { Fault } from '../runtime/fault.ts';
import type { EpochSeconds } from '../runtime/clock.ts';
import {
  isAt,
  isRevocableId,
  isReason,
  revocationKinds,
  type RevocationKind,
} from '../revocation-log/event.ts';
import type { OutboxTables } from './outbox-tables.ts';
import { PublicationWaiters } from './outbox-waiting.ts';
import type { Database, DatabaseTransaction } from '../database/database.ts';

export { outboxMigrations } from './outbox-tables.ts';

export type OutboxIssuer = {
  readonly issuer: string;
  /**
   * `own`: the issuer uses the database's clock. `foreign`: the issuer's clock may be ahead of the database's
   * clock by the tolerance, so a revocation without `at` has a cut-off that much later.
   */
  readonly clock: 'own' | 'foreign';
};

/** A revocation to record. */
export type RevocationRequest = {
  readonly iss: string;
  readonly kind: RevocationKind;
  /** What is revoked, 1 to 256 characters; absent for `issuer`. */
  readonly id?: string;
  /**
   * Cut-off by the issuer's clock, if known (a SET's `event_timestamp`). Default: from the database's clock.
   */
  readonly at?: EpochSeconds;
  readonly reason?: string;
};

export type Outbox = {
  /**
   * Records revocations inside the caller's transaction. They are published if and only if it commits. Call
   * `wake` after the commit. Cost: one statement for 500 revocations, and two more if a key is among them.
   * @returns the ids of the rows, for `waitUntilPublished`
   * @throws ERR_REVOCATION_INVALID for an unknown issuer, an invalid id, or more than 1000 revoked keys of an
   * issuer
   */
  recordEvents(trx: DatabaseTransaction, events: readonly RevocationRequest[]): Promise<number[]>;
  /** Notifies the leader, if it runs in this process, that there are rows to publish. */
  wake(): void;
  /**
   * Resolves with true once all rows are in the log, and with false after `timeoutMs`; they are published
   * later then.
   */
  waitUntilPublished(ids: readonly number[], timeoutMs: number): Promise<boolean>;
};

/** Connects the outbox with the leader that runs in the same process. */
export type OutboxSignals = {
  onWake: (() => void) | undefined;
  published(ids: readonly number[]): void;
};

export type OutboxOptions = {
  readonly database: Database;
  readonly issuers: readonly OutboxIssuer[];
  readonly clockToleranceMs: number;
};

export const wakeChannel = 'curfew_revocation_outbox';
const maxStandingKeys = 1000;
const rowsPerStatement = 500;
/**
 * Allows for clock skew between replicas of the issuer and for the time that a transaction takes to commit;
 * seconds.
 */
const ownCutOffMarginSeconds = 2;

/** The outbox of a database. The command line records with it alone; an owner also runs a publisher. */
export function createOutbox(options: OutboxOptions): Outbox & { readonly signals: OutboxSignals } {
  const { database } = options;
  const clocks = new Map(options.issuers.map(({ issuer, clock }) => [issuer, clock]));
  const waiters = new PublicationWaiters(database);
  const signals: OutboxSignals = { onWake: undefined, published: (ids) => waiters.published(ids) };

  async function recordEvents(
    trx: DatabaseTransaction,
    events: readonly RevocationRequest[],
  ): Promise<number[]> {
    const tables = trx.$extendTables<OutboxTables>();
    const rows = events.map((event) => {
      const clock = checkedClock(event, clocks.get(event.iss));
      const margin = clock === 'own' ? ownMarginSeconds(event.kind) : options.clockToleranceMs / 1000;
      return toRow(event, event.at ?? sql`${database.now()} / 1000.0 + ${sql.lit(margin)}`, database.now());
    });
    const ids: number[] = [];
    for (let start = 0; start < rows.length; start += rowsPerStatement) {
      const chunk = rows.slice(start, start + rowsPerStatement);
      const inserted = await tables.insertInto('revocation_outbox').values(chunk).returning('id').execute();
      ids.push(...inserted.map(({ id }) => id));
    }
    await keepStandingKeys(tables, rows);
    // PostgreSQL delivers the notification at commit.
    if (database.dialect === 'postgres' && ids.length > 0)
      await sql`select pg_notify(${wakeChannel}, '')`.execute(trx);
    return ids;
  }

  return {
    recordEvents,
    wake: () => signals.onWake?.(),
    waitUntilPublished: (ids, timeoutMs) => waiters.wait(ids, timeoutMs),
    signals,
  };
}

/** @throws ERR_REVOCATION_INVALID */
function checkedClock(request: RevocationRequest, clock: 'own' | 'foreign' | undefined): 'own' | 'foreign' {
  const { kind, id, at, reason } = request;
  if (clock === undefined) throw invalid('this log has no such issuer');
  if (!revocationKinds.includes(kind)) throw invalid('no such kind');
  if (kind !== 'issuer' && !isRevocableId(id)) throw invalid('an id has 1 to 256 characters');
  if (at !== undefined && !isAt(at)) throw invalid('`at` is not a time in seconds');
  if (reason !== undefined && !isReason(reason))
    throw invalid('a reason has 1 to 64 characters of a-z 0-9 _ -');
  return clock;
}

const invalid = (what: string): Fault => new Fault('ERR_REVOCATION_INVALID', `cannot revoke: ${what}`);

const ownMarginSeconds = (kind: RevocationKind): number =>
  kind === 'subject' || kind === 'client' || kind === 'issuer' ? ownCutOffMarginSeconds : 0;

const toRow = (
  { iss, kind, id, reason }: RevocationRequest,
  at: number | RawBuilder<unknown>,
  now: RawBuilder<number>,
) => ({
  iss,
  kind,
  target: kind === 'issuer' ? iss : (id ?? iss),
  at: at as number | RawBuilder<number>,
  reason: reason ?? null,
  recorded_at_ms: now,
});

type Row = ReturnType<typeof toRow>;

/** Stores the keys among the rows permanently. @throws ERR_REVOCATION_INVALID if an issuer has too many */
export async function keepStandingKeys(
  tables: Transaction<OutboxTables>,
  rows: readonly Row[],
): Promise<void> {
  const keys = rows
    .filter(({ kind }) => kind === 'key')
    .map(({ iss, target, at, reason }) => ({ iss, target, at, reason }));
  if (keys.length === 0) return;
  await tables
    .insertInto('revocation_standing_keys')
    .values(keys)
    .onConflict((conflict) => conflict.columns(['iss', 'target']).doNothing())
    .execute();
  const crowded = await tables
    .selectFrom('revocation_standing_keys')
    .select('iss')
    .groupBy('iss')
    .having(({ fn }) => fn.countAll(), '>', maxStandingKeys)
    .executeTakeFirst();
  if (crowded !== undefined) throw invalid(`more than ${maxStandingKeys} revoked keys of one issuer`);
}
