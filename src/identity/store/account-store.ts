import type { Kysely } from 'kysely';
import type { Database, DatabaseTransaction } from '../../database/database.ts';
import { identityTables, type IdentityTables } from './tables.ts';

export type Account = {
  /** A UUID; the subject of this account's tokens. */
  id: string;
  username: string;
  passwordHash: string;
  /** Also the version of the credentials: logins and grants with an older version are refused. */
  credentialsChangedAtMs: number;
  isDisabled: boolean;
};

export type AccountStore = {
  /** @param also runs in the same transaction. @returns false if the user name is taken */
  insert(
    account: Account,
    nowMs: number,
    also?: (trx: DatabaseTransaction) => Promise<void>,
  ): Promise<boolean>;
  find(id: string): Promise<Account | undefined>;
  findByName(username: string): Promise<Account | undefined>;
  /** Password hashes without this prefix, at most `limit`. Cost: scans all accounts at worst. */
  hashesUnlike(prefix: string, limit: number): Promise<readonly string[]>;
  /** User names by account id. */
  namesOf(ids: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /**
   * Replaces the hash of an unchanged password, unless the stored hash has changed meanwhile. Keeps the
   * version.
   */
  rehash(account: Pick<Account, 'id' | 'passwordHash'>, passwordHash: string): Promise<void>;
  /** Also ends the account's browser logins. Call it in the transaction that removes the account's grants. */
  setPassword(trx: DatabaseTransaction, id: string, passwordHash: string, nowMs: number): Promise<void>;
  disable(trx: DatabaseTransaction, id: string, nowMs: number): Promise<void>;
  /**
   * Ends the browser logins of one account or of all accounts, including logins in progress. Call it in the
   * transaction that removes the grants.
   */
  endLogins(trx: DatabaseTransaction, of: { id: string } | { all: true }, nowMs: number): Promise<void>;
};

/** The version of an account's credentials at the time it was read. */
export type Credentials = { accountId: string; changedAtMs: number };

/**
 * Whether an account is enabled and its credentials are unchanged. Call it in the transaction that depends on
 * it.
 */
export async function holdsCredentials(
  trx: Kysely<IdentityTables>,
  dialect: Database['dialect'],
  { accountId, changedAtMs }: Credentials,
): Promise<boolean> {
  const account = await trx
    .selectFrom('identity_accounts')
    .select('password_changed_at_ms')
    .where('id', '=', accountId)
    .where('disabled_at_ms', 'is', null)
    // The lock makes a concurrent change of the account wait until this transaction's rows are visible to it.
    // SQLite allows only one writer.
    .$if(dialect === 'postgres', (query) => query.forShare())
    .executeTakeFirst();
  return account?.password_changed_at_ms === changedAtMs;
}

export function createAccountStore(database: Database): AccountStore {
  const db = identityTables(database.db);

  async function findBy(column: 'id' | 'username', value: string): Promise<Account | undefined> {
    const row = await db
      .selectFrom('identity_accounts')
      .selectAll()
      .where(column, '=', value)
      .executeTakeFirst();
    return row === undefined ? undefined : accountOf(row);
  }

  return {
    insert: (account, nowMs, also) =>
      database.db.transaction().execute(async (trx) => {
        const isInserted = await insertAccount(identityTables(trx), account, nowMs);
        if (isInserted) await also?.(trx);
        return isInserted;
      }),
    find: (id) => findBy('id', id),
    findByName: (username) => findBy('username', username),
    hashesUnlike: (prefix, limit) => hashesUnlike(db, prefix, limit),
    namesOf: async (ids) => {
      if (ids.length === 0) return new Map();
      const rows = await db
        .selectFrom('identity_accounts')
        .select(['id', 'username'])
        .where('id', 'in', ids)
        .execute();
      return new Map(rows.map(({ id, username }) => [id, username]));
    },
    rehash: async ({ id, passwordHash: former }, passwordHash) => {
      await db
        .updateTable('identity_accounts')
        .set({ password_hash: passwordHash })
        .where('id', '=', id)
        .where('password_hash', '=', former)
        .execute();
    },
    setPassword: async (trx, id, passwordHash, nowMs) => {
      await change(trx, id, { password_hash: passwordHash, password_changed_at_ms: nowMs });
    },
    disable: (trx, id, nowMs) => change(trx, id, { disabled_at_ms: nowMs }),
    endLogins,
  };
}

async function hashesUnlike(db: Kysely<IdentityTables>, prefix: string, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('identity_accounts')
    .select('password_hash')
    .where('password_hash', 'like', '$%')
    .where('password_hash', 'not like', `${prefix}%`)
    .limit(limit)
    .execute();
  return rows.map((row) => row.password_hash);
}

async function insertAccount(db: Kysely<IdentityTables>, account: Account, nowMs: number): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('identity_accounts')
    .values({
      id: account.id,
      username: account.username,
      password_hash: account.passwordHash,
      created_at_ms: nowMs,
      password_changed_at_ms: account.credentialsChangedAtMs,
      disabled_at_ms: null,
    })
    .onConflict((conflict) => conflict.column('username').doNothing())
    .executeTakeFirst();
  return (numInsertedOrUpdatedRows ?? 0n) > 0n;
}

const endLogins: AccountStore['endLogins'] = async (trx, of, nowMs) => {
  const tables = identityTables(trx);
  const one = 'id' in of ? of.id : undefined;
  await tables
    .updateTable('identity_accounts')
    // The version must grow even if the clock was set back.
    .set(({ eb, ref }) => ({
      password_changed_at_ms: eb
        .case()
        .when('password_changed_at_ms', '<', nowMs)
        .then(nowMs)
        .else(eb(ref('password_changed_at_ms'), '+', 1))
        .end(),
    }))
    .$if(one !== undefined, (query) => query.where('id', '=', one ?? ''))
    .execute();
  await tables
    .deleteFrom('identity_sessions')
    .$if(one !== undefined, (query) => query.where('account_id', '=', one ?? ''))
    .execute();
};

async function change(
  trx: DatabaseTransaction,
  id: string,
  values: Partial<IdentityTables['identity_accounts']>,
): Promise<void> {
  const tables = identityTables(trx);
  await tables.updateTable('identity_accounts').set(values).where('id', '=', id).execute();
  await tables.deleteFrom('identity_sessions').where('account_id', '=', id).execute();
}

const accountOf = (row: IdentityTables['identity_accounts']): Account => ({
  id: row.id,
  username: row.username,
  passwordHash: row.password_hash,
  credentialsChangedAtMs: row.password_changed_at_ms,
  isDisabled: row.disabled_at_ms !== null,
});
