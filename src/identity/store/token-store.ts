import type { Database } from '../../database/database.ts';
import { findUse, noteRepeat, RefusedRotation, rotate, takeBack } from './rotation.ts';
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
  /** Writes a token, replacing one of the same id. @returns false if its grant is gone */
  put(token: NewToken, nowMs: number): Promise<boolean>;
  /** Writes a token unless there is one of this id. @returns false if there is */
  putOnce(token: NewToken): Promise<boolean>;
  find(kind: TokenKind, id: string): Promise<StoredToken | undefined>;
  /** Marks a token used. @returns false if it was already, or is gone */
  consume(token: OneUseToken, use: TokenUse): Promise<boolean>;
  /**
   * Replaces a refresh token or code in one transaction: a crash leaves either the old one unused or the new one in
   * place. When it is refused, nothing is written.
   * @param successor its grant lives as long as it does, and so does the browser session it is bound to
   */
  rotate(used: OneUseToken, successor: Successor, use: TokenUse): Promise<RotationRefusal | undefined>;
  /** Cost: at most two look-ups. @returns undefined for a token that is gone */
  findUse(token: OneUseToken): Promise<UsedToken | undefined>;
  /**
   * Notes that the successor of a used token is handed out again, so that the use isn't taken back.
   * @param times.usedAtMs when it was used, as `findUse` told
   * @returns false if that use was taken back meanwhile
   */
  noteRepeat(token: OneUseToken, times: { usedAtMs: number; nowMs: number }): Promise<boolean>;
  /**
   * Takes a use back: the token is unused again and its successor deleted, whether or not they were committed. Waits for
   * a commit that is still under way. A use whose successor was handed out again stays as it is.
   */
  takeBack(lost: LostUse): Promise<void>;
  delete(kind: TokenKind, id: string): Promise<void>;
  /** Deletes a token and hands it to one caller alone. @returns its payload; undefined if it is gone or too old */
  take(kind: TokenKind, id: string, nowMs: number): Promise<string | undefined>;
  /** Writes a device code, or what became of it. Its payload is no secret. @returns false if its grant is gone */
  putDeviceCode(code: NewDeviceCode, nowMs: number): Promise<boolean>;
  /** Of a device code, by its hash. */
  findPlain(idHash: string): Promise<StoredToken | undefined>;
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
    // In a transaction: a statement alone could still be carried out by a server that hung, after it was taken back.
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
    noteRepeat: (token, times) => noteRepeat(db, token, times),
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

type DeviceCodes = Pick<TokenStore, 'putDeviceCode' | 'findPlain' | 'findByUserCode'>;

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
    findPlain: (idHash) => find('id_hash', idHash),
    findByUserCode: (userCodeHash) => find('user_code_hash', userCodeHash),
  };
}
