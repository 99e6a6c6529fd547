import { Kysely, PostgresDialect, sql, type RawBuilder, type Transaction } from 'kysely';
import { Migrator, type Migration } from 'kysely/migration';
import pg, { type ClientConfig } from 'pg';
import { Fault } from '../../runtime/fault.ts';
import { describeError } from '../../runtime/log.ts';
import type { Secret } from '../../runtime/secret.ts';
import { nodeSqliteDialect } from './node-sqlite.ts';
import { listenToPostgres, type Listener } from './postgres-listener.ts';

/**
 * No tables: a room adds its own with `$extendTables`, so rooms share a database without sharing a schema. What is
 * handed from room to room is a `DatabaseTransaction`.
 */
export type NoTables = object;

export type DatabaseTransaction = Transaction<NoTables>;

export type DatabaseOptions =
  | { sqlite: string }
  | {
      postgres: {
        /** Read at each new connection, so that a changed password file is picked up. */
        url: Pick<Secret, 'text'>;
        poolSize: number;
        /** Told of a connection that broke while idle; the pool replaces it. */
        onIdleError?: (thrown: unknown) => void;
      };
    };

/** An open database. SQLite holds one connection: inside a transaction use `trx` only, or it waits for itself. */
export type Database = {
  readonly db: Kysely<NoTables>;
  readonly dialect: 'sqlite' | 'postgres';
  /** For the log: a path, or host and database name; never a credential. */
  readonly description: string;
  /** The database's wall clock at the moment the row is computed, in whole milliseconds since 1970, as an SQL expression. */
  now(): RawBuilder<number>;
  /**
   * Calls `heard` for each notification on a channel, and now and then without one. PostgreSQL only: undefined where
   * a database can't notify.
   */
  listen(channel: string, heard: () => void): Listener | undefined;
  close(): Promise<void>;
};

/** A room's migrations by name. Names are unique in the database, start with the room's and sort in order of age. */
export type Migrations = Readonly<Record<string, Migration>>;

/**
 * Opens a database. Cost: none; SQLite opens its file, PostgreSQL connects, at the first statement.
 * @param options.sqlite path of the file; created with mode 0600 if absent. `:memory:` for tests
 */
export function openDatabase(options: DatabaseOptions): Database {
  if ('sqlite' in options) {
    const db = new Kysely<NoTables>({ dialect: nodeSqliteDialect(options.sqlite) });
    return {
      db,
      dialect: 'sqlite',
      description: options.sqlite,
      now: () => sql<number>`cast(round(unixepoch('subsec') * 1000) as integer)`,
      listen: () => undefined,
      close: () => db.destroy(),
    };
  }
  const { url } = options.postgres;
  const db = new Kysely<NoTables>({ dialect: new PostgresDialect({ pool: createPool(options.postgres) }) });
  return {
    db,
    dialect: 'postgres',
    description: describeUrl(url.text()),
    // Not now(): that is the start of the transaction.
    now: () => sql<number>`cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`,
    listen: (channel, heard) => listenToPostgres({ url, channel, heard }),
    close: () => db.destroy(),
  };
}

type PostgresOptions = Extract<DatabaseOptions, { postgres: unknown }>['postgres'];

function createPool({ url, poolSize, onIdleError }: PostgresOptions): pg.Pool {
  class CurrentCredentialsClient extends pg.Client {
    constructor(config?: string | ClientConfig) {
      super({ ...(typeof config === 'object' ? config : {}), connectionString: url.text() });
    }
  }
  const pool = new pg.Pool({
    Client: CurrentCredentialsClient,
    max: poolSize,
    connectionTimeoutMillis: 5000,
    statement_timeout: 30_000,
    idle_in_transaction_session_timeout: 30_000,
    application_name: 'curfew',
    keepAlive: true,
    types,
  });
  pool.on('error', (thrown) => onIdleError?.(thrown));
  return pool;
}

// Our bigint columns count milliseconds and rows: far below 2^53.
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format),
};

function describeUrl(text: string): string {
  if (!URL.canParse(text)) return 'postgres';
  const { host, pathname } = new URL(text);
  return `postgres://${host}${pathname}`;
}

/**
 * Brings the database to the newest schema, all or nothing. Safe to run from several processes at once.
 * @param migrations each room's own
 * @throws ERR_DATABASE
 */
export async function migrate(database: Database, migrations: readonly Migrations[]): Promise<void> {
  const all: Record<string, Migration> = Object.assign({}, ...migrations);
  const migrator = new Migrator({
    db: database.db,
    provider: { getMigrations: () => Promise.resolve(all) },
    // Rooms grow independently of each other.
    allowUnorderedMigrations: true,
  });
  const { error } = await migrator.migrateToLatest();
  if (error === undefined) return;
  throw new Fault(
    'ERR_DATABASE',
    `cannot prepare the database ${database.description}: ${describeError(error).message}`,
    { cause: error },
  );
}
