import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import {
  SqliteAdapter,
  SqliteDriver,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type DatabaseConnection,
  type Dialect,
  type SqliteDatabase,
  type SqliteStatement,
} from 'kysely';
import { systemClock, type Clock } from '../runtime/clock.ts';
import { Fault } from '../runtime/fault.ts';

type MonotonicClock = Pick<Clock, 'monotonicMs'>;
type Retry = <Outcome>(work: () => Outcome | Promise<Outcome>) => Promise<Outcome>;

/** How long a statement waits for another process's transaction, and the time between two attempts; ms. */
const busyTimeoutMs = 5000;
const busyRetryMs = 4;
const maxCachedStatements = 256;

/**
 * DDL is transactional in SQLite. Kysely then runs each migration in a transaction, which is safe with
 * several processes.
 */
class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

/** Kysely's dialect for `node:sqlite`: one connection, one transaction at a time, durable at each commit. */
export function nodeSqliteDialect(path: string, clock: MonotonicClock = systemClock): Dialect {
  const retry: Retry = (work) => retryWhileLocked(work, clock);
  return {
    createAdapter: () => new TransactionalSqliteAdapter(),
    createDriver: () => new RetryingSqliteDriver(() => retry(() => openSqlite(path)), retry),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/**
 * Waits for a lock without blocking the event loop, which SQLite's own wait would do. Retrying is safe: a
 * statement that finds the database locked has done nothing, and a transaction takes the lock at its start,
 * so only `begin` can fail.
 */
class RetryingSqliteDriver extends SqliteDriver {
  readonly #retry: Retry;

  constructor(database: () => Promise<SqliteDatabase>, retry: Retry) {
    super({ database });
    this.#retry = retry;
  }

  override async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await super.acquireConnection();
    return {
      executeQuery: (query) => this.#retry(() => connection.executeQuery(query)),
      streamQuery: (query, chunkSize) => connection.streamQuery(query, chunkSize),
    };
  }
}

async function retryWhileLocked<Outcome>(
  work: () => Outcome | Promise<Outcome>,
  clock: MonotonicClock,
): Promise<Outcome> {
  const deadlineMs = clock.monotonicMs() + busyTimeoutMs;
  for (;;) {
    try {
      return await work();
    } catch (thrown) {
      if (!isBusy(thrown)) throw thrown;
      if (clock.monotonicMs() > deadlineMs)
        throw new Fault(
          'ERR_DATABASE_UNAVAILABLE',
          `the database has been locked by another process for ${busyTimeoutMs} ms`,
          { cause: thrown },
        );
      await setTimeout(busyRetryMs);
    }
  }
}

// SQLITE_BUSY is 5. Extended codes have it in the low byte.
const isBusy = (thrown: unknown): boolean =>
  thrown instanceof Error &&
  'errcode' in thrown &&
  typeof thrown.errcode === 'number' &&
  thrown.errcode % 256 === 5;

function openSqlite(path: string): SqliteDatabase {
  // SQLite gives its -wal and -shm files the mode of the database file.
  if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
  const database = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: true });
  // Without FULL, a commit in WAL mode isn't on the disk yet when it is acknowledged.
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON');
  const statements = new Map<string, SqliteStatement>();
  return {
    close: () => database.close(),
    prepare: (text) => {
      const cached = statements.get(text);
      if (cached !== undefined) return cached;
      // A deferred transaction that reads and then writes fails at once if another process wrote in between.
      const statement = adapt(database.prepare(text === 'begin' ? 'begin immediate' : text));
      if (statements.size >= maxCachedStatements) statements.clear();
      statements.set(text, statement);
      return statement;
    },
  };
}

function adapt(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...(parameters as SQLInputValue[])),
    run: (parameters) => statement.run(...(parameters as SQLInputValue[])),
    iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
  };
}
