import type { OutboxTables } from '../../publisher/outbox-tables.ts';
import type { Database } from '../../database/database.ts';

/**
 * The largest sequence number that these outbox rows have in the log; undefined if one of them isn't
 * published.
 */
export async function publishedSeq(database: Database, ids: readonly number[]): Promise<number | undefined> {
  const rows = await database.db
    .$extendTables<OutboxTables>()
    .selectFrom('revocation_outbox')
    .select('published_seq')
    .where('id', 'in', [...ids])
    .execute();
  const seqs = rows.flatMap(({ published_seq: seq }) => (seq === null ? [] : [seq]));
  return seqs.length === ids.length && seqs.length > 0 ? Math.max(...seqs) : undefined;
}
