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

/** Kysely's own for migrations. Versions that took it for the session exclude those that take it for the transaction. */
const migrationLockId = '3853314791062309107';

/** Waits until no other process migrates, and keeps the others waiting until the transaction ends. */
export async function migrationLock(trx: Kysely<never> | Kysely<object>): Promise<void> {
  await sql`select pg_advisory_xact_lock(${sql.lit(migrationLockId)}::bigint)`.execute(trx);
}

/**
 * PostgreSQL through a pool that outlives the server. Nothing relies on the session: a pooler may give each transaction
 * another connection of its own.
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

/** The lock on migrations ends with their transaction: one of the session could be left behind on a pooler's connection. */
class TransactionLockAdapter extends PostgresAdapter {
  override acquireMigrationLock(db: Kysely<never>): Promise<void> {
    return migrationLock(db);
  }

  override async releaseMigrationLock(): Promise<void> {}
}

/** Sets the limits of each transaction with its start, in one message: a pooler may have refused them for the session. */
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
