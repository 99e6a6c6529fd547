import type { Database } from '../../database/database.ts';
import { findUse, recordRepeat, RefusedRotation, rotate, takeBack } from './rotation.ts';
import { hashOf, unseal } from './sealing.ts';
import type {
  LostUse,
  NewDeviceCode,
  NewToken,
  OneUseToken,
  RotationRefusal,
  StoredToken,
  Successor,
  TokenKind,
  TokenUse,
  UsedToken,
} from './stored-tokens.ts';
import { identityTables } from './tables.ts';
import { insertToken, markUsed, rowOf, unusedRow, tokenOf, useGrant, type Tables } from './token-rows.ts';

export type TokenStore = {
  /** Writes a token, replacing one with the same id. @returns false if its grant no longer exists */
  put(token: NewToken, nowMs: number): Promise<boolean>;
  /** Writes a token. @returns false if there already is one with this id */
  putOnce(token: NewToken): Promise<boolean>;
  find(kind: TokenKind, id: string): Promise<StoredToken | undefined>;
  /** Marks a token as used. @returns false if it was already used or no longer exists */
  consume(token: OneUseToken, use: TokenUse): Promise<boolean>;
  /**
   * Replaces a refresh token or code with a new refresh token in one transaction: after a crash, either the
   * old one is unused or the new one is stored. If the rotation is refused, nothing is written.
   * @param successor the new token. Its grant, and the browser session that it is bound to, live at least as
   * long
   */
  rotate(used: OneUseToken, successor: Successor, use: TokenUse): Promise<RotationRefusal | undefined>;
  /** Cost: at most two queries. @returns undefined if the token no longer exists */
  findUse(token: OneUseToken): Promise<UsedToken | undefined>;
  /**
   * Records that the successor of a used token is returned again, so that `takeBack` leaves the use as it is.
   * @param times.usedAtMs `consumedAtMs` from `findUse`
   * @returns false if that use was taken back meanwhile
   */
  recordRepeat(token: OneUseToken, times: { usedAtMs: number; nowMs: number }): Promise<boolean>;
  /**
   * Undoes a use, whether or not it was committed: marks the token as unused and deletes its successor. Waits
   * for a concurrent commit. A use whose successor was returned again is not undone.
   */
  takeBack(lost: LostUse): Promise<void>;
  delete(kind: TokenKind, id: string): Promise<void>;
  /**
   * Deletes a token; of concurrent callers, only one gets it.
   * @returns its payload; undefined if missing or expired
   */
  take(kind: TokenKind, id: string, nowMs: number): Promise<string | undefined>;
  /**
   * Inserts or updates a device code, whose payload is not secret.
   * @returns false if its grant no longer exists
   */
  putDeviceCode(code: NewDeviceCode, nowMs: number): Promise<boolean>;
  /** Finds a device code by its hash. */
  findDeviceCode(idHash: string): Promise<StoredToken | undefined>;
  findByUserCode(userCodeHash: string): Promise<(StoredToken & { idHash: string }) | undefined>;
};

export function createTokenStore(database: Database): TokenStore {
  const db = identityTables(database.db);

  return {
    put: (token, nowMs) =>
      db.transaction().execute(async (trx) => {
        if (token.grantId !== undefined && !(await useGrant(trx, token.grantId, token.expiresAtMs, nowMs)))
          return false;
        await insertToken(trx, token);
        return true;
      }),
    putOnce: async (token) => {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('identity_tokens')
        .values(rowOf(token))
        .onConflict((conflict) => conflict.column('id_hash').doNothing())
        .executeTakeFirst();
      return (numInsertedOrUpdatedRows ?? 0n) > 0n;
    },
    find: async (kind, id) => {
      const row = await db
        .selectFrom('identity_tokens')
        .selectAll()
        .where('id_hash', '=', hashOf(kind, id))
        .executeTakeFirst();
      const payload = row === undefined ? undefined : unseal(id, kind, row.payload);
      return row === undefined || payload === undefined ? undefined : { ...tokenOf(row), payload };
    },
    // In a transaction: a single statement could still be executed by a stalled server after the use was
    // taken back.
    consume: ({ kind, id }, use) => db.transaction().execute((trx) => markUsed(trx, hashOf(kind, id), use)),
    rotate: async (used, successor, use) => {
      try {
        await db.transaction().execute((trx) => rotate(trx, { used, successor, use }));
        return undefined;
      } catch (thrown) {
        if (thrown instanceof RefusedRotation) return thrown.refusal;
        throw thrown;
      }
    },
    findUse: (token) => findUse(db, token),
    recordRepeat: (token, times) => recordRepeat(db, token, times),
    takeBack: (lost) => db.transaction().execute((trx) => takeBack(trx, database.dialect, lost)),
    delete: async (kind, id) => {
      await db.deleteFrom('identity_tokens').where('id_hash', '=', hashOf(kind, id)).execute();
    },
    take: (kind, id, nowMs) => take(db, { kind, id, nowMs }),
    ...deviceCodes(db),
  };
}

async function take(
  db: Tables,
  { kind, id, nowMs }: { kind: TokenKind; id: string; nowMs: number },
): Promise<string | undefined> {
  const row = await db
    .deleteFrom('identity_tokens')
    .where('id_hash', '=', hashOf(kind, id))
    .returning(['payload', 'expires_at_ms'])
    .executeTakeFirst();
  return row === undefined || row.expires_at_ms <= nowMs ? undefined : unseal(id, kind, row.payload);
}

type DeviceCodes = Pick<TokenStore, 'putDeviceCode' | 'findDeviceCode' | 'findByUserCode'>;

function deviceCodes(db: Tables): DeviceCodes {
  const find = async (column: 'id_hash' | 'user_code_hash', hash: string) => {
    const row = await db
      .selectFrom('identity_tokens')
      .selectAll()
      .where('kind', '=', 'DeviceCode')
      .where(column, '=', hash)
      .executeTakeFirst();
    return row === undefined ? undefined : { ...tokenOf(row), idHash: row.id_hash };
  };
  return {
    putDeviceCode: ({ idHash, userCodeHash, grantId, payload, expiresAtMs }, nowMs) =>
      db.transaction().execute(async (trx) => {
        if (grantId !== undefined && !(await useGrant(trx, grantId, expiresAtMs, nowMs))) return false;
        const changing = { payload, expires_at_ms: expiresAtMs, grant_id: grantId ?? null };
        const fixed = { id_hash: idHash, kind: 'DeviceCode', user_code_hash: userCodeHash ?? null };
        await trx
          .insertInto('identity_tokens')
          .values({ ...fixed, ...changing, ...unusedRow })
          .onConflict((conflict) => conflict.column('id_hash').doUpdateSet(changing))
          .execute();
        return true;
      }),
    findDeviceCode: (idHash) => find('id_hash', idHash),
    findByUserCode: (userCodeHash) => find('user_code_hash', userCodeHash),
  };
}
