import { sql } from 'kysely';
import type { Database } from '../../database/database.ts';

/** The database's wall clock; ms since 1970. Cost: one statement. */
export async function readDatabaseTime(database: Database): Promise<number> {
  const { rows } = await sql<{ now_ms: number }>`select ${database.now()} as now_ms`.execute(database.db);
  return rows[0]?.now_ms ?? Number.NaN;
}
