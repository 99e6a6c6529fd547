import {
  CompiledQuery,
  PostgresAdapter,
  PostgresDialect,
  PostgresDriver,
  sql,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type TransactionSettings,
} from 'kysely';
import { ResilientPool, type PostgresPoolOptions } from './postgres-pool.ts';

/**
 * Kysely's own lock for migrations, so that older versions, which lock for the session, and this one exclude
 * each other.
 */
const migrationLockId = '3853314791062309107';

/** Waits until no other process migrates, and makes other processes wait until the transaction ends. */
export async function migrationLock(trx: Kysely<never> | Kysely<object>): Promise<void> {
  await sql`select pg_advisory_xact_lock(${sql.lit(migrationLockId)}::bigint)`.execute(trx);
}

/**
 * Kysely's dialect for PostgreSQL, over `ResilientPool`. Nothing relies on session state, because a pooler
 * may give each transaction another server connection.
 */
export function resilientPostgresDialect(options: PostgresPoolOptions): Dialect {
  const pool = new ResilientPool(options);
  const dialect = new PostgresDialect({ pool });
  return {
    createAdapter: () => new TransactionLockAdapter(),
    createDriver: (): Driver => new LimitingDriver({ pool }, options.statementTimeoutMs),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
  };
}

/** Locks migrations for their transaction. A session lock could stay behind on a pooler's connection. */
class TransactionLockAdapter extends PostgresAdapter {
  override acquireMigrationLock(db: Kysely<never>): Promise<void> {
    return migrationLock(db);
  }

  override async releaseMigrationLock(): Promise<void> {}
}

/**
 * Sets the time limits in the message that starts a transaction, because a pooler may refuse them for the
 * session.
 */
class LimitingDriver extends PostgresDriver {
  readonly #begin: CompiledQuery;

  constructor(config: ConstructorParameters<typeof PostgresDriver>[0], statementTimeoutMs: number) {
    super(config);
    this.#begin = CompiledQuery.raw(
      `begin; set local statement_timeout = ${statementTimeoutMs}; set local idle_in_transaction_session_timeout = ${statementTimeoutMs}`,
    );
  }

  override async beginTransaction(
    connection: DatabaseConnection,
    settings: TransactionSettings,
  ): Promise<void> {
    if (settings.isolationLevel !== undefined || settings.accessMode !== undefined)
      return await super.beginTransaction(connection, settings);
    await connection.executeQuery(this.#begin);
  }
}
