import type { Insertable, Kysely, Selectable } from 'kysely';
import type { Database, DatabaseTransaction } from '../../database/database.ts';
import type { Credentials } from './account-store.ts';
import { identityTables, type IdentityTables } from './tables.ts';

export type Passkey = {
  id: string;
  /** base64url. */
  credentialId: string;
  accountId: string;
  /** A COSE key. */
  publicKey: Uint8Array<ArrayBuffer>;
  counter: number;
  transports: readonly string[];
  isBackupEligible: boolean;
  isBackedUp: boolean;
  name: string;
  createdAtMs: number;
  lastUsedAtMs: number | undefined;
};

export type PasskeyInsertion =
  | 'inserted'
  /** The credential is already stored, for this or another account. */
  | 'taken'
  /** The account has `maxPerAccount` passkeys. */
  | 'full'
  /** The account is disabled, no longer exists or has another password. */
  | 'outdated';

/** Runs in the transaction of the change. */
type Also = (trx: DatabaseTransaction) => Promise<void>;

export type PasskeyStore = {
  /** @param options.credentials the passkey is inserted only if the account's credentials are still these */
  insert(
    passkey: Passkey,
    options: { credentials: Credentials; maxPerAccount: number; also: Also },
  ): Promise<PasskeyInsertion>;
  /** The oldest first. */
  list(accountId: string): Promise<Passkey[]>;
  findByCredential(credentialId: string): Promise<Passkey | undefined>;
  /**
   * Records a signature in one statement, so that of two signatures with the same count only one is accepted.
   * @returns false if the passkey no longer exists, or if its stored count is not lower (WebAuthn Level 3
   * §6.1.1)
   */
  use(id: string, signature: { counter: number; isBackedUp: boolean; nowMs: number }): Promise<boolean>;
  /** @returns false if the account has no such passkey */
  rename(of: { accountId: string; id: string }, name: string, also: Also): Promise<boolean>;
  /** @returns false if the account has no such passkey */
  remove(of: { accountId: string; id: string }, also: Also): Promise<boolean>;
};

export function createPasskeyStore(database: Database): PasskeyStore {
  return { ...readingOf(database), ...changesOf(database) };
}

function readingOf(database: Database): Pick<PasskeyStore, 'list' | 'findByCredential' | 'use'> {
  const db = identityTables(database.db);
  return {
    list: async (accountId) => {
      const rows = await db
        .selectFrom('identity_passkeys')
        .selectAll()
        .where('account_id', '=', accountId)
        .orderBy('created_at_ms')
        .orderBy('id')
        .execute();
      return rows.map(passkeyOf);
    },
    findByCredential: async (credentialId) => {
      const row = await db
        .selectFrom('identity_passkeys')
        .selectAll()
        .where('credential_id', '=', credentialId)
        .executeTakeFirst();
      return row === undefined ? undefined : passkeyOf(row);
    },
    use: async (id, { counter, isBackedUp, nowMs }) => {
      const { numUpdatedRows } = await db
        .updateTable('identity_passkeys')
        .set({ counter, is_backed_up: Number(isBackedUp), last_used_at_ms: nowMs })
        .where('id', '=', id)
        // An authenticator without a counter always sends 0.
        .where('counter', counter === 0 ? '=' : '<', counter)
        .executeTakeFirst();
      return numUpdatedRows > 0n;
    },
  };
}

function changesOf({ db, dialect }: Database): Pick<PasskeyStore, 'insert' | 'rename' | 'remove'> {
  return {
    insert: (passkey, { credentials, maxPerAccount, also }) =>
      db.transaction().execute(async (trx) => {
        const tables = identityTables(trx);
        if (!(await lockAccount(tables, dialect, credentials))) return 'outdated';
        if ((await countOf(tables, passkey.accountId)) >= maxPerAccount) return 'full';
        if (!(await insertRow(tables, passkey))) return 'taken';
        await also(trx);
        return 'inserted';
      }),
    rename: ({ accountId, id }, name, also) =>
      db.transaction().execute(async (trx) => {
        const { numUpdatedRows } = await identityTables(trx)
          .updateTable('identity_passkeys')
          .set({ name })
          .where('id', '=', id)
          .where('account_id', '=', accountId)
          .executeTakeFirst();
        if (numUpdatedRows === 0n) return false;
        await also(trx);
        return true;
      }),
    remove: ({ accountId, id }, also) =>
      db.transaction().execute(async (trx) => {
        if ((await removePasskeys(trx, { accountId, id })) === 0) return false;
        await also(trx);
        return true;
      }),
  };
}

/**
 * Removes one passkey of an account, or all. Call it in the transaction that records it.
 * @returns how many were removed
 */
export async function removePasskeys(
  trx: DatabaseTransaction,
  { accountId, id }: { accountId: string; id?: string },
): Promise<number> {
  const { numDeletedRows } = await identityTables(trx)
    .deleteFrom('identity_passkeys')
    .where('account_id', '=', accountId)
    .$if(id !== undefined, (query) => query.where('id', '=', id ?? ''))
    .executeTakeFirst();
  return Number(numDeletedRows);
}

/**
 * Locks the account row: concurrent insertions are counted one after the other, and a password change waits.
 */
async function lockAccount(
  tables: Kysely<IdentityTables>,
  dialect: Database['dialect'],
  { accountId, changedAtMs }: Credentials,
): Promise<boolean> {
  const account = await tables
    .selectFrom('identity_accounts')
    .select('password_changed_at_ms')
    .where('id', '=', accountId)
    .where('disabled_at_ms', 'is', null)
    .$if(dialect === 'postgres', (query) => query.forUpdate())
    .executeTakeFirst();
  return account?.password_changed_at_ms === changedAtMs;
}

async function countOf(tables: Kysely<IdentityTables>, accountId: string): Promise<number> {
  const { count } = await tables
    .selectFrom('identity_passkeys')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('account_id', '=', accountId)
    .executeTakeFirstOrThrow();
  return count;
}

async function insertRow(tables: Kysely<IdentityTables>, passkey: Passkey): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tables
    .insertInto('identity_passkeys')
    .values(rowOf(passkey))
    .onConflict((conflict) => conflict.column('credential_id').doNothing())
    .executeTakeFirst();
  return (numInsertedOrUpdatedRows ?? 0n) > 0n;
}

const rowOf = (passkey: Passkey): Insertable<IdentityTables['identity_passkeys']> => ({
  id: passkey.id,
  credential_id: passkey.credentialId,
  account_id: passkey.accountId,
  public_key: Buffer.from(passkey.publicKey).toString('base64url'),
  counter: passkey.counter,
  transports: JSON.stringify(passkey.transports),
  is_backup_eligible: Number(passkey.isBackupEligible),
  is_backed_up: Number(passkey.isBackedUp),
  name: passkey.name,
  created_at_ms: passkey.createdAtMs,
  last_used_at_ms: passkey.lastUsedAtMs ?? null,
});

const passkeyOf = (row: Selectable<IdentityTables['identity_passkeys']>): Passkey => ({
  id: row.id,
  credentialId: row.credential_id,
  accountId: row.account_id,
  publicKey: new Uint8Array(Buffer.from(row.public_key, 'base64url')),
  counter: row.counter,
  transports: JSON.parse(row.transports) as string[],
  isBackupEligible: row.is_backup_eligible === 1,
  isBackedUp: row.is_backed_up === 1,
  name: row.name,
  createdAtMs: row.created_at_ms,
  lastUsedAtMs: row.last_used_at_ms ?? undefined,
});
