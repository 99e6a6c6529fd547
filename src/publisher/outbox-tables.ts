import { SqliteAdapter, sql, type Generated, type Kysely } from 'kysely';
import type { RevocationKind } from '../revocation-log/event.ts';
import type { Migrations, NoTables } from '../database/database.ts';

/** The tables from which the revocation log is rebuilt. Times are by the database's clock. */
export type OutboxTables = {
  /** One row: who may write the log, and under which epoch. */
  revocation_lease: {
    id: number;
    /**
     * The log's owner, which identifies this database. It changes only if the configuration names another
     * one.
     */
    owner: string;
    holder: string | null;
    epoch: number;
    expires_at_ms: number;
    /** Each renewal adds one, so that a standby replica can detect a dead leader without trusting a clock. */
    renewals: number;
  };
  revocation_outbox: {
    id: Generated<number>;
    iss: string;
    kind: RevocationKind;
    target: string;
    /** Cut-off in seconds, by the issuer's clock. */
    at: number;
    reason: string | null;
    recorded_at_ms: number;
    published_epoch: number | null;
    published_seq: number | null;
    published_at_ms: number | null;
    /** A hash that identifies the entry of another log from which the row was imported. */
    origin: string | null;
    /** See `OutboxEvent`. */
    original: string | null;
  };
  /** Revoked keys. They never expire. */
  revocation_standing_keys: { iss: string; target: string; at: number; reason: string | null };
};

/** For `migrate`. */
export const outboxMigrations: Migrations = {
  'publisher-0001-outbox': {
    async up(db: Kysely<NoTables>): Promise<void> {
      await createLease(db);
      await createOutbox(db);
      await createStandingKeys(db);
    },
  },
  'publisher-0002-imported-events': {
    async up({ schema }: Kysely<NoTables>): Promise<void> {
      await schema.alterTable('revocation_outbox').addColumn('origin', 'text').execute();
      await schema.alterTable('revocation_outbox').addColumn('original', 'text').execute();
      await schema
        .createIndex('revocation_outbox_origin')
        .on('revocation_outbox')
        .column('origin')
        .unique()
        .where(sql.ref('origin'), 'is not', null)
        .execute();
    },
  },
};

async function createLease({ schema }: Kysely<NoTables>): Promise<void> {
  await schema
    .createTable('revocation_lease')
    .addColumn('id', 'integer', (column) => column.primaryKey().check(sql`id = 1`))
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('holder', 'text')
    .addColumn('epoch', 'bigint', (column) => column.notNull())
    .addColumn('expires_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('renewals', 'bigint', (column) => column.notNull())
    .execute();
}

async function createOutbox(db: Kysely<NoTables>): Promise<void> {
  const { schema } = db;
  const isSqlite = db.getExecutor().adapter instanceof SqliteAdapter;
  await schema
    .createTable('revocation_outbox')
    // AUTOINCREMENT never uses the id of a deleted row again.
    .addColumn('id', isSqlite ? 'integer' : 'bigint', (column) =>
      isSqlite ? column.primaryKey().autoIncrement() : column.primaryKey().generatedAlwaysAsIdentity(),
    )
    .addColumn('iss', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('target', 'text', (column) => column.notNull())
    .addColumn('at', 'double precision', (column) => column.notNull())
    .addColumn('reason', 'text')
    .addColumn('recorded_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('published_epoch', 'bigint')
    .addColumn('published_seq', 'bigint')
    .addColumn('published_at_ms', 'bigint')
    .execute();
  await schema
    .createIndex('revocation_outbox_pending')
    .on('revocation_outbox')
    .column('id')
    .where(sql.ref('published_seq'), 'is', null)
    .execute();
  await schema
    .createIndex('revocation_outbox_recorded')
    .on('revocation_outbox')
    .column('recorded_at_ms')
    .execute();
}

async function createStandingKeys({ schema }: Kysely<NoTables>): Promise<void> {
  await schema
    .createTable('revocation_standing_keys')
    .addColumn('iss', 'text', (column) => column.notNull())
    .addColumn('target', 'text', (column) => column.notNull())
    .addColumn('at', 'double precision', (column) => column.notNull())
    .addColumn('reason', 'text')
    .addPrimaryKeyConstraint('revocation_standing_keys_primary', ['iss', 'target'])
    .execute();
}
