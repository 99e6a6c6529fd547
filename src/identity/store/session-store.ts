import type { Database } from '../../database/database.ts';
import { holdsCredentials, type Credentials } from './account-store.ts';
import { hashOf, seal, unseal } from './sealing.ts';
import { identityTables } from './tables.ts';

/**
 * A browser's login. `id` is in the cookie and changes. `uid` is constant; refresh tokens are bound to it.
 */
export type NewSession = {
  id: string;
  uid: string;
  payload: string;
  accountId: string | undefined;
  expiresAtMs: number;
};

export type StoredSession = { payload: string; expiresAtMs: number };

export type SessionStore = {
  /**
   * Inserts a session, or updates the one with this `uid`, including its `id`.
   * @param options.isNew whether to insert
   * @param options.credentials the session is written only if the account's credentials are still these
   * @returns false if nothing was written
   */
  put(session: NewSession, options: { isNew: boolean; credentials?: Credentials }): Promise<boolean>;
  find(id: string): Promise<StoredSession | undefined>;
  findByUid(uid: string): Promise<StoredSession | undefined>;
};

/*
 * Either `id` or `uid` opens a session: the payload is encrypted with the `uid`, and the `uid` with the `id`.
 */
export function createSessionStore(database: Database): SessionStore {
  const db = identityTables(database.db);

  async function findByUid(uid: string): Promise<StoredSession | undefined> {
    const row = await db
      .selectFrom('identity_sessions')
      .select(['payload', 'expires_at_ms'])
      .where('uid_hash', '=', hashOf('SessionUid', uid))
      .executeTakeFirst();
    const payload = row === undefined ? undefined : unseal(uid, 'Session', row.payload);
    return row === undefined || payload === undefined
      ? undefined
      : { payload, expiresAtMs: row.expires_at_ms };
  }

  return {
    put: (session, { isNew, credentials }) =>
      db.transaction().execute(async (trx) => {
        if (credentials !== undefined && !(await holdsCredentials(trx, database.dialect, credentials)))
          return false;
        const uidHash = hashOf('SessionUid', session.uid);
        const row = sealed(session);
        if (isNew) {
          await trx
            .insertInto('identity_sessions')
            .values({ uid_hash: uidHash, ...row })
            .execute();
          return true;
        }
        const { numUpdatedRows } = await trx
          .updateTable('identity_sessions')
          .set(row)
          .where('uid_hash', '=', uidHash)
          .executeTakeFirst();
        return numUpdatedRows > 0n;
      }),
    find: async (id) => {
      const row = await db
        .selectFrom('identity_sessions')
        .select('sealed_uid')
        .where('id_hash', '=', hashOf('Session', id))
        .executeTakeFirst();
      const uid = row === undefined ? undefined : unseal(id, 'SessionUid', row.sealed_uid);
      return uid === undefined ? undefined : await findByUid(uid);
    },
    findByUid,
  };
}

const sealed = ({ id, uid, payload, accountId, expiresAtMs }: NewSession) => ({
  id_hash: hashOf('Session', id),
  sealed_uid: seal(id, 'SessionUid', uid),
  payload: seal(uid, 'Session', payload),
  account_id: accountId ?? null,
  expires_at_ms: expiresAtMs,
});
