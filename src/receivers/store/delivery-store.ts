import type { Database, DatabaseTransaction } from '../../database/database.ts';
import type { ReceiverTables } from './receiver-tables.ts';

export type DeliveryStore = {
  /**
   * Records the id of a delivery, inside the transaction that records its revocations.
   * @returns false if the id was recorded before
   */
  recordOnce(trx: DatabaseTransaction, idHash: string, expiresAtMs: number): Promise<boolean>;
  /** Deletes ids of deliveries that are too old to be accepted again. @returns the number of deleted rows */
  purge(nowMs: number): Promise<number>;
};

const rowsPerStatement = 500;

export function createDeliveryStore(database: Database): DeliveryStore {
  const db = database.db.$extendTables<ReceiverTables>();

  async function purgeSome(nowMs: number): Promise<number> {
    const expired = db
      .selectFrom('receiver_deliveries')
      .select('id_hash')
      .where('expires_at_ms', '<', nowMs)
      .limit(rowsPerStatement);
    const { numDeletedRows } = await db
      .deleteFrom('receiver_deliveries')
      .where('id_hash', 'in', expired)
      .executeTakeFirst();
    return Number(numDeletedRows);
  }

  return {
    recordOnce: async (trx, idHash, expiresAtMs) => {
      const { numInsertedOrUpdatedRows } = await trx
        .$extendTables<ReceiverTables>()
        .insertInto('receiver_deliveries')
        .values({ id_hash: idHash, expires_at_ms: Math.ceil(expiresAtMs) })
        // In PostgreSQL, this waits until another transaction with the same id has ended, and then sees its
        // outcome.
        .onConflict((conflict) => conflict.column('id_hash').doNothing())
        .executeTakeFirst();
      return (numInsertedOrUpdatedRows ?? 0n) > 0n;
    },
    purge: async (nowMs) => {
      let count = 0;
      for (let deleted = rowsPerStatement; deleted === rowsPerStatement; count += deleted)
        deleted = await purgeSome(nowMs);
      return count;
    },
  };
}
