import type { Kysely, Selectable } from 'kysely';
import type { Database } from '../../publisher/store/database.ts';
import { hashOf, seal, unseal } from './sealing.ts';
import { identityTables, type IdentityTables } from './tables.ts';

/** What is stored under a token is found by its hash and opened by itself. */
export type TokenKind =
  | 'RefreshToken'
  | 'AuthorizationCode'
  | 'Interaction'
  | 'ReplayDetection'
  | 'DeviceCode'
  | 'PasskeyChallenge';

export type NewToken = {
  kind: TokenKind;
  id: string;
  grantId: string | undefined;
  payload: string;
  expiresAtMs: number;
};

export type StoredToken = {
  payload: string;
  grantId: string | undefined;
  consumedAtMs: number | undefined;
  consumedBy: string | undefined;
  expiresAtMs: number;
};

/** Why a family got no new token: it is gone, or its token was used already. */
export type RotationRefusal = 'gone' | 'used';

/** By whom, as a hash, and when a token is used. */
export type TokenUse = {
  by: string;
  nowMs: number;
  /** Set by the store once the token is marked; whether that is committed is another question. */
  isMarked?: boolean;
};

/** A use whose request failed: nobody was sent what it was used for. */
export type LostUse = {
  kind: TokenKind;
  id: string;
  use: TokenUse;
  /** The id of the refresh token that was to take its place. */
  successorId?: string;
};

export type TokenStore = {
  /** Writes a token, replacing one of the same id. @returns false if its grant is gone */
  put(token: NewToken, nowMs: number): Promise<boolean>;
  /** Writes a token unless there is one of this id. @returns false if there is */
  putOnce(token: NewToken): Promise<boolean>;
  find(kind: TokenKind, id: string): Promise<StoredToken | undefined>;
  /** Marks a token used. @returns false if it was already, or is gone */
  consume(kind: TokenKind, id: string, use: TokenUse): Promise<boolean>;
  /**
   * Replaces a refresh token in one transaction: a crash leaves either the old one unused or the new one in place.
   * @param successor its grant lives as long as it does, and so does the browser session it is bound to
   */
  rotate(
    usedId: string,
    successor: NewToken & { sessionUid: string | undefined },
    use: TokenUse,
  ): Promise<RotationRefusal | undefined>;
  /**
   * Takes a use back: the token is unused again and its successor gone, whether or not they were committed. Waits for
   * a commit that is still under way.
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

export type NewDeviceCode = {
  idHash: string;
  userCodeHash: string | undefined;
  grantId: string | undefined;
  payload: string;
  expiresAtMs: number;
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
    consume: (kind, id, use) => db.transaction().execute((trx) => markUsed(trx, hashOf(kind, id), use)),
    rotate: (usedId, successor, use) =>
      db.transaction().execute(async (trx) => {
        const grantId = successor.grantId ?? '';
        if (!(await useGrant(trx, grantId, successor.expiresAtMs, use.nowMs))) return 'gone';
        if (!(await markUsed(trx, hashOf('RefreshToken', usedId), use))) return 'used';
        await insertToken(trx, successor);
        if (successor.sessionUid !== undefined)
          await extendSession(trx, successor.sessionUid, successor.expiresAtMs);
        return undefined;
      }),
    takeBack: (lost) => db.transaction().execute((trx) => takeBack(trx, database.dialect, lost)),
    delete: async (kind, id) => {
      await db.deleteFrom('identity_tokens').where('id_hash', '=', hashOf(kind, id)).execute();
    },
    take: (kind, id, nowMs) => take(db, { kind, id, nowMs }),
    ...deviceCodes(db),
  };
}

async function takeBack(
  trx: Tables,
  dialect: Database['dialect'],
  { kind, id, use, successorId }: LostUse,
): Promise<void> {
  const idHash = hashOf(kind, id);
  await trx
    .selectFrom('identity_tokens')
    .select('id_hash')
    .where('id_hash', '=', idHash)
    .$if(dialect === 'postgres', (query) => query.forUpdate())
    .execute();
  if (successorId !== undefined)
    await trx.deleteFrom('identity_tokens').where('id_hash', '=', hashOf(kind, successorId)).execute();
  await trx
    .updateTable('identity_tokens')
    .set({ consumed_at_ms: null, consumed_by: null })
    .where('id_hash', '=', idHash)
    .where('consumed_at_ms', '=', use.nowMs)
    .where('consumed_by', '=', use.by)
    .execute();
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
          .values({ ...fixed, ...changing, consumed_at_ms: null, consumed_by: null })
          .onConflict((conflict) => conflict.column('id_hash').doUpdateSet(changing))
          .execute();
        return true;
      }),
    findPlain: (idHash) => find('id_hash', idHash),
    findByUserCode: (userCodeHash) => find('user_code_hash', userCodeHash),
  };
}

const tokenOf = (row: Selectable<IdentityTables['identity_tokens']>): StoredToken => ({
  payload: row.payload,
  grantId: row.grant_id ?? undefined,
  consumedAtMs: row.consumed_at_ms ?? undefined,
  consumedBy: row.consumed_by ?? undefined,
  expiresAtMs: row.expires_at_ms,
});

type Tables = Kysely<IdentityTables>;

/** Notes a use of the grant and keeps it as long as its newest token. Also the lock that orders this with a revocation. */
async function useGrant(db: Tables, id: string, expiresAtMs: number, nowMs: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('identity_grants')
    .set((column) => ({
      last_used_at_ms: nowMs,
      expires_at_ms: column
        .case()
        .when('expires_at_ms', '<', expiresAtMs)
        .then(expiresAtMs)
        .else(column.ref('expires_at_ms'))
        .end(),
    }))
    .where('id', '=', id)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

async function markUsed(db: Tables, idHash: string, use: TokenUse): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('identity_tokens')
    .set({ consumed_at_ms: use.nowMs, consumed_by: use.by })
    .where('id_hash', '=', idHash)
    .where('consumed_at_ms', 'is', null)
    .executeTakeFirst();
  use.isMarked = numUpdatedRows > 0n;
  return use.isMarked;
}

const rowOf = (token: NewToken): IdentityTables['identity_tokens'] => ({
  id_hash: hashOf(token.kind, token.id),
  kind: token.kind,
  grant_id: token.grantId ?? null,
  payload: seal(token.id, token.kind, token.payload),
  consumed_at_ms: null,
  consumed_by: null,
  user_code_hash: null,
  expires_at_ms: token.expiresAtMs,
});

async function insertToken(db: Tables, token: NewToken): Promise<void> {
  const row = rowOf(token);
  const { payload, expires_at_ms } = row;
  await db
    .insertInto('identity_tokens')
    .values(row)
    .onConflict((conflict) => conflict.column('id_hash').doUpdateSet({ payload, expires_at_ms }))
    .execute();
}

async function extendSession(db: Tables, uid: string, expiresAtMs: number): Promise<void> {
  await db
    .updateTable('identity_sessions')
    .set({ expires_at_ms: expiresAtMs })
    .where('uid_hash', '=', hashOf('SessionUid', uid))
    .where('expires_at_ms', '<', expiresAtMs)
    .execute();
}
