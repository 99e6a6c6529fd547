import { sql } from 'kysely';
import type { Database, DatabaseTransaction } from '../../database/database.ts';
import { identityTables, type IdentityTables } from './tables.ts';

export type StoredKey = {
  id: string;
  purpose: 'signature' | 'cookie';
  algorithm: string;
  /** A private JWK or a secret, encrypted if `isSealed`. */
  material: string;
  isSealed: boolean;
  createdAtMs: number;
};

export type KeyStore = {
  /** Every key, the oldest first. */
  list(): Promise<StoredKey[]>;
  /**
   * Adds a key unless there is one of the same purpose and algorithm that was created after `thanMs`. So only
   * one of several replicas adds a key.
   * @returns whether it was added
   */
  addUnlessNewer(key: StoredKey, thanMs: number): Promise<boolean>;
  /** Replaces unencrypted key material with its encrypted form. */
  seal(id: string, material: string): Promise<void>;
  delete(id: string): Promise<void>;
  /** Deletes a signing key in the transaction that revokes it. */
  deleteIn(trx: DatabaseTransaction, id: string): Promise<void>;
};

export function createKeyStore(database: Database): KeyStore {
  const db = identityTables(database.db);
  return {
    list: async () => {
      const rows = await db
        .selectFrom('identity_keys')
        .selectAll()
        .orderBy('created_at_ms')
        .orderBy('id')
        .execute();
      return rows.map(keyOf);
    },
    addUnlessNewer: (key, thanMs) =>
      database.db.transaction().execute(async (raw) => {
        const trx = identityTables(raw);
        // At isolation level read committed, two replicas would otherwise both find no newer key.
        if (database.dialect === 'postgres')
          await sql`lock table identity_keys in exclusive mode`.execute(raw);
        const newer = await trx
          .selectFrom('identity_keys')
          .select('id')
          .where('purpose', '=', key.purpose)
          .where('algorithm', '=', key.algorithm)
          .where('created_at_ms', '>', thanMs)
          .executeTakeFirst();
        if (newer !== undefined) return false;
        await trx.insertInto('identity_keys').values(rowOf(key)).execute();
        return true;
      }),
    seal: async (id, material) => {
      await db
        .updateTable('identity_keys')
        .set({ material, is_sealed: 1 })
        .where('id', '=', id)
        .where('is_sealed', '=', 0)
        .execute();
    },
    delete: async (id) => {
      await db.deleteFrom('identity_keys').where('id', '=', id).execute();
    },
    deleteIn: async (trx, id) => {
      await identityTables(trx)
        .deleteFrom('identity_keys')
        .where('id', '=', id)
        .where('purpose', '=', 'signature')
        .execute();
    },
  };
}

const rowOf = (key: StoredKey): IdentityTables['identity_keys'] => ({
  id: key.id,
  purpose: key.purpose,
  algorithm: key.algorithm,
  material: key.material,
  is_sealed: key.isSealed ? 1 : 0,
  created_at_ms: key.createdAtMs,
});

const keyOf = (row: IdentityTables['identity_keys']): StoredKey => ({
  id: row.id,
  purpose: row.purpose,
  algorithm: row.algorithm,
  material: row.material,
  isSealed: row.is_sealed === 1,
  createdAtMs: row.created_at_ms,
});
