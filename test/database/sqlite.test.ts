import { join } from 'node:path';
import { sql } from 'kysely';
import { expect, it, onTestFinished } from 'vitest';
import { openDatabase } from '../../src/database/database.ts';
import { isDatabaseUnavailable } from '../../src/runtime/fault.ts';
import { temporaryDirectory } from '../temporary.ts';

it('reports a database that another process keeps locked as unavailable', async () => {
  const sqlite = join(temporaryDirectory(), 'shared.db');
  const [one, other] = [openDatabase({ sqlite }), openDatabase({ sqlite })];
  onTestFinished(async () => {
    await Promise.all([one.close(), other.close()]);
  });
  await sql`create table kept (id integer)`.execute(one.db);
  const insert = sql`insert into kept values (1)`;
  await one.db.transaction().execute(async (trx) => {
    await insert.execute(trx);
    const failure = await insert.execute(other.db).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(isDatabaseUnavailable(failure)).toBe(true);
  });
  await insert.execute(other.db);
});
