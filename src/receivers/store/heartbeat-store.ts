import type { Database, DatabaseTransaction } from '../../database/database.ts';
import type { ReceiverTables } from './receiver-tables.ts';

export type HeartbeatStore = {
  /**
   * Records the time of a beat for these issuers.
   * @returns the time since the previous beat of each issuer, in ms by the database's clock; Infinity for the
   * first beat
   */
  beat(trx: DatabaseTransaction, issuers: readonly string[]): Promise<Map<string, number>>;
};

export function createHeartbeatStore(database: Database): HeartbeatStore {
  return {
    beat: async (trx, issuers) => {
      const tables = trx.$extendTables<ReceiverTables>();
      const { now } = await tables.selectNoFrom(database.now().as('now')).executeTakeFirstOrThrow();
      const rows = await tables
        .selectFrom('receiver_presence')
        .selectAll()
        .where('iss', 'in', [...issuers])
        .execute();
      const seen = new Map(rows.map((row) => [row.iss, row.seen_at_ms]));
      await tables
        .insertInto('receiver_presence')
        .values(issuers.map((iss) => ({ iss, seen_at_ms: now })))
        .onConflict((conflict) => conflict.column('iss').doUpdateSet({ seen_at_ms: now }))
        .execute();
      return new Map(issuers.map((iss) => [iss, now - (seen.get(iss) ?? -Infinity)]));
    },
  };
}
