import { Kysely, sql, type RawBuilder, type Transaction } from 'kysely';
import { Migrator, type Migration } from 'kysely/migration';
import { Fault } from '../runtime/fault.ts';
import { describeError } from '../runtime/log.ts';
import type { Secret } from '../runtime/secret.ts';
import { nodeSqliteDialect } from './node-sqlite.ts';
import { migrationLock, resilientPostgresDialect } from './postgres-dialect.ts';
import { describeUrl, lastUsableUrl } from './postgres-hosts.ts';
import { listenToPostgres, type ListenOptions, type NotificationListener } from './postgres-listener.ts';
import type { DatabaseReport } from './postgres-pool.ts';

export type { DatabaseReport } from './postgres-pool.ts';

/**
 * No tables. Each folder adds its own with `$extendTables`, so folders share a database but no schema, and
 * pass a `DatabaseTransaction` to each other.
 */
export type NoTables = object;

export type DatabaseTransaction = Transaction<NoTables>;

export type DatabaseOptions =
  | { sqlite: string }
  | {
      postgres: {
        /**
         * Read at each new connection, so that a changed password file takes effect. If it can't be read
         * then, the previous URL stays in use. Of several hosts, as in `postgres://user@a:5432,b:5432/name`,
         * the one that accepts writes is used.
         */
        url: Pick<Secret, 'text'>;
        poolSize: number;
        report?: DatabaseReport;
        /** Longest time of one statement; ms. Default 10 s. */
        statementTimeoutMs?: number;
      };
    };

/**
 * An open database. SQLite has one connection, so a statement inside a transaction must use `trx`; `db` would
 * deadlock.
 */
export type Database = {
  readonly db: Kysely<NoTables>;
  readonly dialect: 'sqlite' | 'postgres';
  /** For the log: a path, or host and database name; never a credential. */
  readonly description: string;
  /**
   * An SQL expression for the database's wall clock when the row is computed, in whole milliseconds since
   * 1970.
   */
  now(): RawBuilder<number>;
  /**
   * Calls `onNotification` for each notification on a channel, and after each connection. PostgreSQL only:
   * undefined for a database without notifications.
   */
  listen(channel: string, options: ListenOptions): NotificationListener | undefined;
  /** Runs a transaction that may take minutes, such as a migration. */
  runLong<Outcome>(work: (trx: DatabaseTransaction) => Promise<Outcome>): Promise<Outcome>;
  close(): Promise<void>;
};

/**
 * The migrations of a folder by name. Names are unique, start with the name of the folder, and sort by age.
 */
export type Migrations = Readonly<Record<string, Migration>>;

const defaultStatementTimeoutMs = 10_000;
const longStatementTimeoutMs = 10 * 60_000;

/**
 * Opens a database. Costs nothing until the first statement, when SQLite opens its file and PostgreSQL
 * connects. A statement throws ERR_DATABASE_UNAVAILABLE if the same call may succeed later. Its transaction
 * is then rolled back, unless the connection was lost during the commit.
 * @param options.sqlite path of the file; created with mode 0600 if absent. `:memory:` for tests
 */
export function openDatabase(options: DatabaseOptions): Database {
  return 'sqlite' in options ? openSqliteDatabase(options) : openPostgresDatabase(options.postgres);
}

function openSqliteDatabase({ sqlite }: Extract<DatabaseOptions, { sqlite: string }>): Database {
  const db = new Kysely<NoTables>({ dialect: nodeSqliteDialect(sqlite) });
  return {
    db,
    dialect: 'sqlite',
    description: sqlite,
    now: () => sql<number>`cast(round(unixepoch('subsec') * 1000) as integer)`,
    listen: () => undefined,
    runLong: (work) => db.transaction().execute(work),
    close: () => db.destroy(),
  };
}

type PostgresOptions = Extract<DatabaseOptions, { postgres: unknown }>['postgres'];

function openPostgresDatabase(options: PostgresOptions): Database {
  const { statementTimeoutMs = defaultStatementTimeoutMs } = options;
  const url = lastUsableUrl(options.url);
  const db = new Kysely<NoTables>({
    dialect: resilientPostgresDialect({ ...options, url, statementTimeoutMs }),
  });
  const notify = async (channel: string, payload: string): Promise<void> => {
    await sql`select pg_notify(${channel}, ${payload})`.execute(db);
  };
  return {
    db,
    dialect: 'postgres',
    description: describeUrl(url.text()),
    // Not now(), which is the start of the transaction.
    now: () => sql<number>`cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`,
    listen: (channel, listening) =>
      listenToPostgres({
        url,
        channel,
        notify: (payload) => notify(channel, payload),
        ...listening,
      }),
    runLong: async (work) => {
      const limits = { url, poolSize: 1, statementTimeoutMs: longStatementTimeoutMs };
      const patient = new Kysely<NoTables>({ dialect: resilientPostgresDialect(limits) });
      try {
        return await patient.transaction().execute(work);
      } finally {
        await patient.destroy();
      }
    },
    close: () => db.destroy(),
  };
}

/**
 * Migrates the database to the newest schema, in one transaction. Several processes may run it at the same
 * time.
 * @param migrations one entry for each folder with tables
 * @throws ERR_DATABASE
 */
export async function migrate(database: Database, migrations: readonly Migrations[]): Promise<void> {
  try {
    await database.runLong(async (trx) => {
      if (database.dialect === 'postgres') await migrationLock(trx);
      await migrateIn(trx, Object.assign({}, ...migrations) as Record<string, Migration>);
    });
  } catch (thrown) {
    throw new Fault(
      'ERR_DATABASE',
      `cannot prepare the database ${database.description}: ${describeError(thrown).message}`,
      { cause: thrown },
    );
  }
}

async function migrateIn(trx: DatabaseTransaction, all: Record<string, Migration>): Promise<void> {
  const migrator = new Migrator({
    db: trx,
    provider: { getMigrations: () => Promise.resolve(all) },
    // Each folder adds its migrations independently of the others.
    allowUnorderedMigrations: true,
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}
