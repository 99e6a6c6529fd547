import { hash, randomUUID } from 'node:crypto';
import { sql, type Kysely } from 'kysely';
import { Fault } from '../runtime/fault.ts';
import type { LeaderReply, LeasedRows, LeaseSeen, OutboxRow, PublishedRow } from './leader-options.ts';
import type { OutboxEvent } from './outbox-event.ts';
import type { ImportedEvent } from './outbox-import.ts';
import type { OutboxTables } from './outbox-tables.ts';
import { keepStandingKeys } from './outbox.ts';
import type { Database } from '../database/database.ts';

const leaseMs = 3000;
/** Rows are kept at least this long, for operators who look into the past; ms. */
const keptMs = 24 * 3_600_000;
/**
 * How much further than the retention a seed goes back, so that small steps of the database's clock do no
 * harm; ms.
 */
const seedSpareMs = 60_000;
const prunedRows = 5000;
const countedRows = 10_000;
const storedRows = 500;

type TakeReply = Extract<LeaderReply, { kind: 'take' }>;

/** The leader's access to the outbox: the lease, and the rows to publish. */
export class OutboxLease {
  readonly #database: Database;
  readonly #db: Kysely<OutboxTables>;
  readonly #holder: string;
  readonly #retentionMs: number;

  constructor(options: { database: Database; holder: string; retentionSeconds: number }) {
    this.#database = options.database;
    this.#db = options.database.db.$extendTables<OutboxTables>();
    this.#holder = options.holder;
    this.#retentionMs = options.retentionSeconds * 1000;
  }

  /** The log's owner: `wanted`, or the random id that the first publisher of this database stored. */
  async owner(wanted: string | undefined): Promise<string> {
    await this.#db
      .insertInto('revocation_lease')
      .values({ id: 1, owner: wanted ?? randomUUID(), holder: null, epoch: 0, expires_at_ms: 0, renewals: 0 })
      .onConflict((conflict) => conflict.column('id').doNothing())
      .execute();
    if (wanted !== undefined) await this.#db.updateTable('revocation_lease').set({ owner: wanted }).execute();
    const { owner } = await this.#db.selectFrom('revocation_lease').select('owner').executeTakeFirstOrThrow();
    return owner;
  }

  async take(stuck: LeaseSeen | undefined): Promise<TakeReply> {
    const now = this.#database.now();
    const taken = await this.#db
      .updateTable('revocation_lease')
      .set((row) => ({
        holder: this.#holder,
        epoch: row('epoch', '+', 1),
        expires_at_ms: sql<number>`${now} + ${sql.lit(leaseMs)}`,
        renewals: row('renewals', '+', 1),
      }))
      .where((row) =>
        row.or([
          row('expires_at_ms', '<=', now),
          row.and([row('epoch', '=', stuck?.epoch ?? -1), row('renewals', '=', stuck?.renewals ?? -1)]),
        ]),
      )
      .returning('epoch')
      .executeTakeFirst();
    if (taken !== undefined) return { kind: 'take', taken: taken.epoch };
    const held = await this.#db
      .selectFrom('revocation_lease')
      .select(['epoch', 'renewals'])
      .executeTakeFirst();
    if (held === undefined) throw new Fault('ERR_DATABASE', 'the lease of the revocation log is gone');
    return { kind: 'take', held };
  }

  /** @returns the epoch; undefined if another process holds the lease */
  renew(epoch: number): Promise<number | undefined> {
    return this.#extend(epoch, epoch);
  }

  /**
   * Renews the lease in time. Call in each step of a long command.
   * @returns false if another process holds it
   */
  async keep(): Promise<boolean> {
    const lease = await this.#db
      .selectFrom('revocation_lease')
      .select(({ eb }) => ['holder', 'epoch', eb('expires_at_ms', '-', this.#database.now()).as('leftMs')])
      .executeTakeFirst();
    if (lease?.holder !== this.#holder) return false;
    // A read costs less than a commit.
    return lease.leftMs > leaseMs / 2 || (await this.renew(lease.epoch)) !== undefined;
  }

  /** Renews the lease with an epoch above both `epoch` and `above`. */
  raise(epoch: number, above: number): Promise<number | undefined> {
    return this.#extend(epoch, Math.max(epoch, above) + 1);
  }

  /** Ends the lease, so that another replica can take it at once. */
  async release(epoch: number): Promise<void> {
    await this.#db
      .updateTable('revocation_lease')
      .set({ expires_at_ms: 0 })
      .where('holder', '=', this.#holder)
      .where('epoch', '=', epoch)
      .execute();
  }

  drain(limit: number): Promise<LeasedRows> {
    return this.#leasedRows(
      sql`select * from revocation_outbox where published_seq is null order by id limit ${limit}`,
    );
  }

  /** Rows that the log must hold: unpublished, or published less than one retention ago. */
  page(after: number, limit: number): Promise<LeasedRows> {
    const oldest = sql`${this.#database.now()} - ${sql.lit(this.#retentionMs + seedSpareMs)}`;
    return this.#leasedRows(sql`
      select * from revocation_outbox
      where id > ${after} and (published_seq is null or published_at_ms > ${oldest})
      order by id limit ${limit}`);
  }

  /** All revoked keys. */
  standing(): Promise<LeasedRows> {
    return this.#leasedRows(sql`
      select 0 as id, iss, 'key' as kind, target, at, reason, 0 as published_seq, null as original from revocation_standing_keys`);
  }

  async mark(epoch: number, rows: readonly PublishedRow[]): Promise<void> {
    const values = sql.join(rows.map(({ id, seq }) => sql`(cast(${id} as bigint), cast(${seq} as bigint))`));
    await sql`
      with batch(id, seq) as (values ${values})
      update revocation_outbox
      set published_epoch = ${epoch}, published_seq = batch.seq, published_at_ms = ${this.#database.now()}
      from batch where revocation_outbox.id = batch.id and published_seq is null`.execute(this.#db);
  }

  /**
   * Records events of a log that is taken over, each event once. The seed finds them unpublished. Events are
   * identified by number and content, because Redis may have lost entries and others may have taken their
   * numbers.
   */
  async store(log: { owner: string; epoch: number }, events: readonly ImportedEvent[]): Promise<void> {
    if (events.length === 0) return;
    const rows = events.map(({ seq, member, event: { iss, kind, id, at, reason, original } }) => ({
      iss,
      kind,
      target: id,
      at,
      reason: reason ?? null,
      recorded_at_ms: this.#database.now(),
      origin: hash('sha256', JSON.stringify([log.owner, log.epoch, seq, member]), 'hex'),
      original: original ?? null,
    }));
    await this.#db.transaction().execute(async (trx) => {
      for (let start = 0; start < rows.length; start += storedRows)
        await trx
          .insertInto('revocation_outbox')
          .values(rows.slice(start, start + storedRows))
          .onConflict((conflict) => conflict.column('origin').where('origin', 'is not', null).doNothing())
          .execute();
      await keepStandingKeys(trx, rows);
    });
  }

  /** Deletes up to 5000 rows that are older than the retention and than one day. */
  async prune(): Promise<void> {
    const oldest = sql<number>`${this.#database.now()} - ${sql.lit(Math.max(this.#retentionMs, keptMs))}`;
    const old = this.#db
      .selectFrom('revocation_outbox')
      .select('id')
      .where('recorded_at_ms', '<', oldest)
      .limit(prunedRows);
    await this.#db.deleteFrom('revocation_outbox').where('id', 'in', old).execute();
  }

  /** The number of unpublished rows, counted up to 10,000, and the age of the oldest in milliseconds. */
  async pending(): Promise<{ count: number; ageMs: number }> {
    const { rows } = await sql<{ count: number; oldest: number | null; now: number }>`
      select count(*) as count, min(recorded_at_ms) as oldest, ${this.#database.now()} as now from
      (select recorded_at_ms from revocation_outbox where published_seq is null order by id
       limit ${sql.lit(countedRows)}) as waiting`.execute(this.#db);
    const [row] = rows;
    const oldest = row?.oldest ?? undefined;
    return {
      count: row?.count ?? 0,
      ageMs: oldest === undefined ? 0 : Math.max(0, (row?.now ?? 0) - oldest),
    };
  }

  async #extend(epoch: number, nextEpoch: number): Promise<number | undefined> {
    const extended = await this.#db
      .updateTable('revocation_lease')
      .set((row) => ({
        epoch: nextEpoch,
        expires_at_ms: sql<number>`${this.#database.now()} + ${sql.lit(leaseMs)}`,
        renewals: row('renewals', '+', 1),
      }))
      .where('holder', '=', this.#holder)
      .where('epoch', '=', epoch)
      .returning('epoch')
      .executeTakeFirst();
    return extended?.epoch;
  }

  /** Reads the lease and the rows in one statement, which guarantees that only the leader's drains count. */
  async #leasedRows(rows: ReturnType<typeof sql>): Promise<LeasedRows> {
    const result = await sql<LeasedRow>`
      select lease.holder, lease.epoch, ${this.#database.now()} as now_ms,
        found.id, found.iss, found.kind, found.target, found.at, found.reason, found.published_seq, found.original
      from revocation_lease as lease left join (${rows}) as found on true
      order by found.id`.execute(this.#db);
    const [first] = result.rows;
    if (first === undefined) throw new Fault('ERR_DATABASE', 'the lease of the revocation log is gone');
    return {
      holder: first.holder ?? undefined,
      epoch: first.epoch,
      nowMs: first.now_ms,
      rows: result.rows.flatMap(readRow),
    };
  }
}

type LeasedRow = {
  holder: string | null;
  epoch: number;
  now_ms: number;
} & ({ id: null } | (OutboxTables['revocation_outbox'] & { id: number }));

function readRow(row: LeasedRow): OutboxRow[] {
  if (row.id === null) return [];
  const { id, iss, kind, target, at, reason, original } = row;
  const event: OutboxEvent = {
    iss,
    kind,
    id: target,
    at,
    ...(reason === null ? {} : { reason }),
    ...(original === null ? {} : { original }),
  };
  return [{ id, event, isPublished: row.published_seq !== null }];
}
