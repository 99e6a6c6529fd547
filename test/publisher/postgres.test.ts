import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { OutboxLease } from '../../src/publisher/outbox-lease.ts';
import { createOutbox, outboxMigrations, wakeChannel, type Outbox } from '../../src/publisher/outbox.ts';
import { migrate, openDatabase, type Database } from '../../src/database/database.ts';
import { secretFromText } from '../../src/runtime/secret.ts';
import { startPostgres, type PostgresServer } from '../identity/postgres-server.ts';
import { eventually } from '../processes.ts';

const iss = 'https://own.example';
const session = (id: string) => ({ iss, kind: 'session', id }) as const;

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

async function stand(): Promise<{ database: Database; outbox: Outbox; lease: OutboxLease }> {
  const url = secretFromText(await server.createDatabase());
  const database = openDatabase({ postgres: { url, poolSize: 5 } });
  onTestFinished(() => database.close());
  await migrate(database, [outboxMigrations]);
  const outbox = createOutbox({ database, issuers: [{ issuer: iss, clock: 'own' }], clockToleranceMs: 5000 });
  const lease = new OutboxLease({ database, holder: 'one', retentionSeconds: 75 });
  await lease.owner(undefined);
  return { database, outbox, lease };
}

describe('transactions that overlap', () => {
  it('may commit in any order: a later id may be published first, and the earlier one is still published', async () => {
    const { database, outbox, lease } = await stand();
    const { promise: mayCommit, resolve: commit } = Promise.withResolvers<void>();
    const inserted = Promise.withResolvers<void>();
    const slow = database.db.transaction().execute(async (trx) => {
      await outbox.recordEvents(trx, [session('slow')]);
      inserted.resolve();
      await mayCommit;
    });
    await inserted.promise;
    await database.db.transaction().execute((trx) => outbox.recordEvents(trx, [session('quick')]));
    const [quick] = (await lease.drain(10)).rows;
    expect(quick?.event.id).toBe('quick');
    await lease.mark(1, [{ id: quick?.id ?? 0, seq: 1 }]);
    commit();
    await slow;
    expect((await lease.drain(10)).rows.map(({ event }) => event.id)).toEqual(['slow']);
  });
});

describe('a notification', () => {
  it('wakes the listener at the commit and not before, and again after a lost connection', async () => {
    const { database, outbox } = await stand();
    let heard = 0;
    const listener = database.listen(wakeChannel, { onNotification: () => (heard += 1) });
    onTestFinished(() => listener?.stop());
    await eventually('the listener is connected', () => (heard === 1 ? true : undefined));
    await database.db.transaction().execute(async (trx) => {
      await outbox.recordEvents(trx, [session('a')]);
      await outbox.recordEvents(trx, [session('b')]);
      expect(heard).toBe(1);
    });
    await eventually('the notification', () => (heard > 1 ? true : undefined));
    const before = heard;
    await terminateListeners(database);
    await eventually('the listener is back', () => (heard > before ? true : undefined));
  });
});

async function terminateListeners(database: Database): Promise<void> {
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'curfew listener'`.execute(
    database.db,
  );
}
