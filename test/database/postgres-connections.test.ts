import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createOutbox, outboxMigrations, wakeChannel } from '../../src/publisher/outbox.ts';
import { migrate, openDatabase, type Database, type DatabaseReport } from '../../src/database/database.ts';
import { isDatabaseUnavailable } from '../../src/runtime/fault.ts';
import { secretFromText } from '../../src/runtime/secret.ts';
import { startPostgresLink } from '../identity/postgres-link.ts';
import { startPostgres, type PostgresServer } from '../identity/postgres-server.ts';
import { eventually } from '../processes.ts';

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

type Reported = DatabaseReport & { readonly lines: string[] };

/** Records what is reported to the operator. */
function createReport(): Reported {
  const lines: string[] = [];
  return {
    lines,
    connectionLost: () => void lines.push('lost'),
    unavailable: () => void lines.push('unavailable'),
    available: () => void lines.push('available'),
  };
}

function open(url: string, more: { poolSize?: number; statementTimeoutMs?: number } = {}) {
  const report = createReport();
  const database = openDatabase({
    postgres: { url: secretFromText(url), poolSize: 2, report, ...more },
  });
  onTestFinished(() => database.close());
  return { database, report };
}

const nameOf = (url: string): string => new URL(url).pathname.slice(1);

const one = async ({ db }: Database): Promise<number | undefined> =>
  (await sql<{ one: number }>`select 1 as one`.execute(db)).rows[0]?.one;

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );

describe('a connection that ends while it is in use', () => {
  it('fails its transaction as unavailable, and the next statement has another connection', async () => {
    const url = await server.createDatabase();
    const { database, report } = open(url);
    const failure = await failureOf(
      database.db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx);
        await server.terminateConnections(nameOf(url));
        await eventually('the loss is noticed', () => (report.lines.includes('lost') ? true : undefined));
        await sql`select 2`.execute(trx);
      }),
    );
    expect(isDatabaseUnavailable(failure)).toBe(true);
    expect(await one(database)).toBe(1);
    expect(report.lines.filter((line) => line !== 'lost')).toEqual(['unavailable', 'available']);
  });

  it('fails the statement under way as unavailable', async () => {
    const url = await server.createDatabase();
    const { database } = open(url);
    const failure = failureOf(sql`select pg_sleep(60)`.execute(database.db));
    await eventually('the statement runs', async () => {
      const running = sql`select 1 from pg_stat_activity where query like '%pg_sleep(60)%' and datname = ${nameOf(url)} and pid <> pg_backend_pid()`;
      return (await running.execute(database.db)).rows.length > 0 ? true : undefined;
    });
    await server.terminateConnections(nameOf(url));
    expect(isDatabaseUnavailable(await failure)).toBe(true);
  });

  it('is reported once, even if it was idle', async () => {
    const url = await server.createDatabase();
    const { database, report } = open(url);
    await one(database);
    await server.terminateConnections(nameOf(url));
    await eventually('the loss is noticed', () => (report.lines.length > 0 ? true : undefined));
    expect(await one(database)).toBe(1);
    expect(report.lines).toEqual(['lost']);
  });
});

describe('an unavailable server', () => {
  it('is reported once, and once when it is available again, however many statements failed', async () => {
    const own = await startPostgres();
    onTestFinished(() => own.stop());
    const { database, report } = open(await own.createDatabase());
    await one(database);
    await own.shutDown();
    for (let attempt = 0; attempt < 3; attempt += 1)
      expect(isDatabaseUnavailable(await failureOf(one(database)))).toBe(true);
    await own.start();
    expect(await one(database)).toBe(1);
    expect(report.lines.filter((line) => line !== 'lost')).toEqual(['unavailable', 'available']);
  });

  it('that hangs delays a statement no longer than its limit, and the pool replaces the connection', async () => {
    const link = await startPostgresLink(server.port);
    const { database } = open(link.through(await server.createDatabase()), { statementTimeoutMs: 200 });
    await one(database);
    link.hang();
    expect(isDatabaseUnavailable(await failureOf(one(database)))).toBe(true);
    link.resume();
    expect(await one(database)).toBe(1);
  });

  it('that hangs does not delay a close', async () => {
    const link = await startPostgresLink(server.port);
    const { database } = open(link.through(await server.createDatabase()));
    await one(database);
    link.hang();
    await database.close();
    expect(isDatabaseUnavailable(await failureOf(one(database)))).toBe(false);
  });

  it('includes one whose pool is exhausted: a statement waits for a connection for a limited time', async () => {
    const { database } = open(await server.createDatabase(), { poolSize: 2, statementTimeoutMs: 200 });
    const { promise: free, resolve } = Promise.withResolvers<void>();
    const holding = [1, 2].map(() => database.db.connection().execute(() => free));
    expect(isDatabaseUnavailable(await failureOf(one(database)))).toBe(true);
    resolve();
    await Promise.all(holding);
  });
});

describe('a failed statement', () => {
  it('that would fail again is not reported as unavailable', async () => {
    const { database, report } = open(await server.createDatabase());
    const failure = await failureOf(sql`select no_such_column`.execute(database.db));
    expect(failure).toMatchObject({ code: '42703' });
    expect(isDatabaseUnavailable(failure)).toBe(false);
    expect(report.lines).toEqual([]);
  });

  it('that may succeed later, such as one that exceeds its time limit, is reported as unavailable', async () => {
    const { database, report } = open(await server.createDatabase(), { statementTimeoutMs: 200 });
    const failure = await failureOf(
      database.db.transaction().execute(async (trx) => await sql`select pg_sleep(60)`.execute(trx)),
    );
    expect(isDatabaseUnavailable(failure)).toBe(true);
    // The server answers, so it isn't unavailable.
    expect(report.lines).toEqual([]);
  });
});

describe('a read-only server', () => {
  it('is not used, and the writable one of several hosts is found', async () => {
    const own = await startPostgres();
    onTestFinished(() => own.stop());
    const url = await own.createDatabase();
    const replica = await own.createReplica();
    const [atReplica, atBoth] = [
      url.replace(`:${own.port}/`, `:${replica.port}/`),
      url.replace(`:${own.port}/`, `:${replica.port},127.0.0.1:${own.port}/`),
    ];
    const alone = open(atReplica);
    expect(isDatabaseUnavailable(await failureOf(one(alone.database)))).toBe(true);
    const { database } = open(atBoth);
    await sql`create table kept (id integer)`.execute(database.db);
    expect(database.description).toBe(
      `postgres://127.0.0.1:${replica.port},127.0.0.1:${own.port}/${nameOf(url)}`,
    );
    // After a fail-over, the other host is found without a new configuration.
    await replica.untilLevel();
    await own.shutDown();
    await replica.promote();
    await eventually('the promoted one is found', () =>
      sql`insert into kept values (1)`.execute(database.db).then(
        () => true,
        () => undefined,
      ),
    );
  });
});

describe('a server that is read-only for a while', () => {
  it('is reported once, and once when it accepts writes again', async () => {
    const url = await server.createDatabase();
    const { database, report } = open(url);
    const refuseWrites = async (isRefused: 'on' | 'off'): Promise<void> => {
      const { database: admin } = open(await server.createDatabase());
      await sql`alter database ${sql.id(nameOf(url))} set default_transaction_read_only = ${sql.lit(isRefused)}`.execute(
        admin.db,
      );
    };
    await refuseWrites('on');
    for (let attempt = 0; attempt < 3; attempt += 1)
      expect(isDatabaseUnavailable(await failureOf(one(database)))).toBe(true);
    await refuseWrites('off');
    expect(await one(database)).toBe(1);
    expect(report.lines.filter((line) => line !== 'lost')).toEqual(['unavailable', 'available']);
  });
});

describe('migrations', () => {
  it('of several processes run one after the other', async () => {
    const url = await server.createDatabase();
    const databases = [open(url), open(url), open(url)].map(({ database }) => database);
    await Promise.all(databases.map((database) => migrate(database, [outboxMigrations])));
    const lock = sql`select 1 from pg_locks where locktype = 'advisory'`;
    for (const { db } of databases) expect((await lock.execute(db)).rows).toEqual([]);
  });

  it('that fail leave nothing behind, and no lock', async () => {
    const { database } = open(await server.createDatabase());
    const broken = {
      'test-0001-broken': {
        up: async (db: Database['db']) => {
          await db.schema.createTable('half_made').addColumn('id', 'integer').execute();
          await sql`select no_such_column`.execute(db);
        },
      },
    };
    await expect(migrate(database, [broken])).rejects.toMatchObject({ code: 'ERR_DATABASE' });
    await migrate(database, [outboxMigrations]);
    const tables = await database.db.introspection.getTables();
    expect(tables.map(({ name }) => name)).not.toContain('half_made');
  });
});

describe('notifications', () => {
  it('are reported to arrive after a probe arrived, and not to arrive while the connection hangs', async () => {
    const link = await startPostgresLink(server.port);
    const url = await server.createDatabase();
    const through = open(link.through(url), { statementTimeoutMs: 300 });
    const outbox = createOutbox({
      database: through.database,
      issuers: [{ issuer: 'https://own.example', clock: 'own' }],
      clockToleranceMs: 0,
    });
    await migrate(through.database, [outboxMigrations]);
    let heard = 0;
    const listener = through.database.listen(wakeChannel, {
      onNotification: () => (heard += 1),
      probeEveryMs: 300,
      probeTimeoutMs: 300,
    });
    onTestFinished(() => listener?.stop());
    const until = (what: string, isReceiving: boolean) =>
      eventually(what, () => (listener?.isReceiving() === isReceiving ? true : undefined));
    await until('they arrive', true);
    link.hang();
    await until('they do not arrive any more', false);
    link.resume();
    await until('they arrive again', true);
    const before = heard;
    await through.database.db
      .transaction()
      .execute((trx) => outbox.recordEvents(trx, [{ iss: 'https://own.example', kind: 'session', id: 'a' }]));
    await eventually('the notification', () => (heard > before ? true : undefined));
    expect(listener?.isReceiving()).toBe(true);
  });
});
