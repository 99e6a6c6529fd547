import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase, type Database } from '../../src/database/database.ts';
import { Fault } from '../../src/runtime/fault.ts';
import { startPostgres, type PostgresServer } from '../identity/postgres-server.ts';
import { eventually } from '../processes.ts';

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const one = async ({ db }: Database): Promise<number | undefined> =>
  (await sql<{ one: number }>`select 1 as one`.execute(db)).rows[0]?.one;

const unreadable = (): string => {
  throw new Fault('ERR_SECRET_UNREADABLE', 'cannot read /run/database-url: no such file');
};

/** A database whose URL is in a file. `replace` changes the file. */
async function openFromFile() {
  const url = await server.createDatabase();
  let text = (): string => url;
  const database = openDatabase({ postgres: { url: { text: () => text() }, poolSize: 1 } });
  onTestFinished(() => database.close());
  return {
    database,
    disconnect: () => server.terminateConnections(new URL(url).pathname.slice(1)),
    replace: (now: () => string) => (text = now),
  };
}

describe.each([
  ['cannot be read', unreadable],
  ['is half written', () => 'postgres://curfew:pass%'],
])('a URL whose file %s', (_, broken) => {
  it('does not matter to connections that are open', async () => {
    const { database, replace } = await openFromFile();
    expect(await one(database)).toBe(1);
    replace(broken);
    expect(await one(database)).toBe(1);
  });

  it('is the previous one for a statement that waits for another connection', async () => {
    const { database, disconnect, replace } = await openFromFile();
    const { promise: waiting, resolve: waits } = Promise.withResolvers<Promise<number | undefined>[]>();
    const transaction = database.db.transaction().execute(async (trx) => {
      await sql`select 1`.execute(trx);
      waits([one(database)]);
      await disconnect();
      replace(broken);
      await sql`select 1`.execute(trx);
    });
    await expect(transaction).rejects.toMatchObject({ code: 'ERR_DATABASE_UNAVAILABLE' });
    expect(await Promise.all(await waiting)).toEqual([1]);
  });

  it('is the previous one for a listener that reconnects', async () => {
    const { database, disconnect, replace } = await openFromFile();
    let heard = 0;
    const listener = database.listen('url_test', { onNotification: () => (heard += 1) });
    onTestFinished(async () => await listener?.stop());
    await eventually('the listener has connected', () => (heard === 1 ? true : undefined));
    replace(broken);
    await disconnect();
    await eventually('the listener has connected again', () => (heard > 1 ? true : undefined));
    expect(await one(database)).toBe(1);
  });
});
