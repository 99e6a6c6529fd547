import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createOutbox, outboxMigrations, type Outbox } from '../../src/publisher/outbox.ts';
import { migrate, openDatabase, type Database } from '../../src/database/database.ts';

const issuer = 'https://id.example';

describe('waiting for publication', () => {
  let database: Database;
  let outbox: Outbox;

  beforeEach(async () => {
    database = openDatabase({ sqlite: ':memory:' });
    await migrate(database, [outboxMigrations]);
    outbox = createOutbox({ database, issuers: [{ issuer, clock: 'own' }], clockToleranceMs: 0 });
  });
  afterEach(() => database.close());

  const record = (count: number): Promise<number[]> =>
    database.db.transaction().execute((trx) =>
      outbox.recordEvents(
        trx,
        Array.from({ length: count }, (_, index) => ({ iss: issuer, kind: 'session', id: `s${index}` })),
      ),
    );

  it('works for more revocations than one statement can name', async () => {
    const rows = await record(33_000);
    expect(await outbox.waitUntilPublished(rows, 100)).toBe(false);
    await sql`update revocation_outbox set published_seq = id`.execute(database.db);
    expect(await outbox.waitUntilPublished(rows, 5000)).toBe(true);
    await sql`update revocation_outbox set published_seq = null where id = ${rows.at(-1)}`.execute(
      database.db,
    );
    expect(await outbox.waitUntilPublished(rows, 100)).toBe(false);
  });
});
