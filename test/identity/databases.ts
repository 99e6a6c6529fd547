import { backup, DatabaseSync } from 'node:sqlite';
import { sql, type RawBuilder } from 'kysely';
import { afterAll, beforeAll, describe } from 'vitest';
import { openDatabase, type Database } from '../../src/database/database.ts';
import { secretFromText } from '../../src/runtime/secret.ts';
import { startIdentity, type TestIdentity } from './identity-server.ts';
import { startPostgres, type PostgresServer } from './postgres-server.ts';

/** As in the configuration. */
export type DatabaseInput = { sqlite: string } | { postgres: { url: string } };

/** What a suite gets that runs on each kind of database. */
export type OnDatabase = {
  /** As `startIdentity`, on an empty database of this kind unless told which. */
  readonly start: typeof startIdentity;
  /** An empty database; with SQLite a file in the folder. */
  create(directory: string): Promise<DatabaseInput>;
  /** A copy of a database that is in use, as an operator makes one. */
  copy(from: DatabaseInput, directory: string): Promise<DatabaseInput>;
};

let suites = 0;
let server: Promise<PostgresServer> | undefined;

/** One for the file. */
function sharedServer(): Promise<PostgresServer> {
  server ??= startPostgres();
  return server;
}

/** A suite that has to hold on SQLite and on PostgreSQL. */
export function onEachDatabase(title: string, suite: (on: OnDatabase) => void): void {
  describe(`${title}, on SQLite`, () => {
    const create = (directory: string) => Promise.resolve({ sqlite: `${directory}/identity.db` });
    suite({ start: startIdentity, create, copy: copySqlite });
  });
  // Each suite asks; the first stops it, after the last.
  if (suites === 0) afterAll(async () => await (await server)?.stop());
  suites += 1;
  describe(`${title}, on PostgreSQL`, () => {
    beforeAll(async () => {
      await sharedServer();
    });
    const create = async () => ({ postgres: { url: await (await sharedServer()).createDatabase() } });
    const start = async (...[overrides, dependencies]: Parameters<typeof startIdentity>) =>
      await startIdentity({ database: await create(), ...overrides }, dependencies);
    const copy: OnDatabase['copy'] = async (from) => {
      if (!('postgres' in from)) throw new Error('not a database of PostgreSQL');
      return { postgres: { url: await (await sharedServer()).copyDatabase(from.postgres.url) } };
    };
    suite({ start, create, copy });
  });
}

/** What `.backup` of sqlite3 does. */
const copySqlite: OnDatabase['copy'] = async (from, directory) => {
  if (!('sqlite' in from)) throw new Error('not a database of SQLite');
  const source = new DatabaseSync(from.sqlite);
  const sqlite = `${directory}/copy.db`;
  await backup(source, sqlite);
  source.close();
  return { sqlite };
};

export const openTestDatabase = (input: DatabaseInput): Database =>
  'sqlite' in input
    ? openDatabase(input)
    : openDatabase({ postgres: { url: secretFromText(input.postgres.url), poolSize: 5 } });

/** Asks the database of an identity, over a connection of its own. */
export async function query<Row>(
  { config }: Pick<TestIdentity, 'config'>,
  text: RawBuilder<Row>,
): Promise<Row[]> {
  const database = openDatabase(config.database);
  try {
    const { rows } = await text.execute(database.db);
    return rows;
  } finally {
    await database.close();
  }
}

const tables = ['accounts', 'grants', 'tokens', 'sessions', 'keys'] as const;

/** Everything in identity's tables, as text. */
export async function contents(identity: Pick<TestIdentity, 'config'>): Promise<string> {
  const found = tables.map((name) => query(identity, sql`select * from ${sql.table(`identity_${name}`)}`));
  return JSON.stringify(await Promise.all(found));
}
