import { expressionBuilder, type Expression, type Kysely, type SqlBool } from 'kysely';
import type { Database, DatabaseTransaction } from '../../database/database.ts';
import { holdsCredentials, type Credentials } from './account-store.ts';
import { identityTables, type IdentityTables } from './tables.ts';

export type NewGrant = {
  id: string;
  clientId: string;
  /** Scopes per resource, as JSON. */
  payload: string;
  familyKey: string;
  device: string;
  address: string;
  /** Hash of the browser login that the grant belongs to. */
  loginHash?: string | undefined;
  nowMs: number;
  expiresAtMs: number;
  /** The grant is inserted only if the account's credentials are still these. */
  credentials: Credentials;
};

export type StoredGrant = {
  id: string;
  accountId: string;
  clientId: string;
  payload: string;
  familyKey: string;
  device: string;
  address: string;
  loginHash: string | undefined;
  createdAtMs: number;
  lastUsedAtMs: number;
  expiresAtMs: number;
};

export type GrantSelection =
  | { id: string }
  /** All grants of one browser login. The login itself ends, too. */
  | { loginHash: string }
  /** All grants of an account; with `beyond`, all except that many most recently used ones. */
  | { accountId: string; beyond?: number }
  | { clientId: string }
  | { all: true }
  /** No grants: only what `record` writes. */
  | { none: true };

export type GrantFilter = { accountId?: string; clientId?: string };

/** A deleted grant. `id` is what the revocation event names. */
export type RemovedGrant = { id: string; accountId: string; clientId: string };

export type GrantStore = {
  /** @returns false if the account is disabled, no longer exists or has another password */
  insert(grant: NewGrant): Promise<boolean>;
  /**
   * Sets the payload, and the expiry of a grant that belongs to a browser login. Other grants live as long as
   * their tokens.
   * @returns false if the grant no longer exists
   */
  update(id: string, payload: string, expiresAtMs: number): Promise<boolean>;
  find(id: string): Promise<StoredGrant | undefined>;
  /** Replaces the recorded device and address: a device code is allowed in a browser and used elsewhere. */
  setDevice(id: string, used: { device: string; address: string }): Promise<void>;
  /** The most recently used first. @param page `limit` 1 to 1000, `offset` how many to skip */
  list(filter: GrantFilter, page: { limit: number; offset: number }): Promise<StoredGrant[]>;
  /**
   * Deletes grants with their tokens and runs the steps, in one transaction. Cost: one commit.
   * @returns the result of `steps.record`
   */
  remove<Recorded>(selection: GrantSelection, steps: RemovalSteps<Recorded>): Promise<Recorded>;
};

/** Steps of the transaction that removes grants. */
export type RemovalSteps<Recorded> = {
  /** Only grants that were created before this time. */
  createdBeforeMs?: number | undefined;
  /** Runs first. Takes the locks that keep new grants from being added concurrently. */
  before?: (trx: DatabaseTransaction) => Promise<void>;
  /** Runs last, with the deleted grants. */
  record(trx: DatabaseTransaction, removed: readonly RemovedGrant[]): Promise<Recorded>;
};

export function createGrantStore(database: Database): GrantStore {
  const db = identityTables(database.db);

  return {
    insert: (grant) =>
      db.transaction().execute(async (trx) => {
        if (!(await holdsCredentials(trx, database.dialect, grant.credentials))) return false;
        await trx.insertInto('identity_grants').values(rowOf(grant)).execute();
        return true;
      }),
    update: (id, payload, expiresAtMs) => updateGrant(db, id, { payload, expiresAtMs }),
    find: async (id) => {
      const row = await db.selectFrom('identity_grants').selectAll().where('id', '=', id).executeTakeFirst();
      return row === undefined ? undefined : grantOf(row);
    },
    setDevice: async (id, used) => {
      await db.updateTable('identity_grants').set(used).where('id', '=', id).execute();
    },
    list: async ({ accountId, clientId }, { limit, offset }) => {
      const rows = await db
        .selectFrom('identity_grants')
        .selectAll()
        .$if(accountId !== undefined, (query) => query.where('account_id', '=', accountId ?? ''))
        .$if(clientId !== undefined, (query) => query.where('client_id', '=', clientId ?? ''))
        .orderBy('last_used_at_ms', 'desc')
        .orderBy('id')
        .limit(limit)
        .offset(offset)
        .execute();
      return rows.map(grantOf);
    },
    remove: (selection, steps) =>
      database.db.transaction().execute(async (trx) => {
        await steps.before?.(trx);
        const removed = await deleteGrants(identityTables(trx), selection, steps.createdBeforeMs);
        return await steps.record(trx, removed);
      }),
  };
}

async function updateGrant(
  db: Kysely<IdentityTables>,
  id: string,
  { payload, expiresAtMs }: { payload: string; expiresAtMs: number },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('identity_grants')
    .set((column) => ({
      payload,
      expires_at_ms: column
        .case()
        .when('login_hash', 'is', null)
        .then(column.ref('expires_at_ms'))
        .else(expiresAtMs)
        .end(),
    }))
    .where('id', '=', id)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

async function deleteGrants(
  db: Kysely<IdentityTables>,
  selection: GrantSelection,
  createdBeforeMs: number | undefined,
): Promise<RemovedGrant[]> {
  if ('none' in selection) return [];
  const rows = await db
    .deleteFrom('identity_grants')
    .where((eb) => {
      if ('id' in selection) return eb('id', '=', selection.id);
      if ('loginHash' in selection) return eb('login_hash', '=', selection.loginHash);
      if ('accountId' in selection) return ofAccount(db, selection);
      if ('clientId' in selection) return eb('client_id', '=', selection.clientId);
      return eb.lit(true);
    })
    .$if(createdBeforeMs !== undefined, (query) => query.where('created_at_ms', '<', createdBeforeMs ?? 0))
    .returning(['id', 'account_id', 'client_id'])
    .execute();
  if ('loginHash' in selection)
    await db.deleteFrom('identity_sessions').where('uid_hash', '=', selection.loginHash).execute();
  return rows.map((row) => ({ id: row.id, accountId: row.account_id, clientId: row.client_id }));
}

function ofAccount(
  db: Kysely<IdentityTables>,
  { accountId, beyond }: { accountId: string; beyond?: number },
): Expression<SqlBool> {
  const eb = expressionBuilder<IdentityTables, 'identity_grants'>();
  if (beyond === undefined) return eb('account_id', '=', accountId);
  const old = db
    .selectFrom('identity_grants')
    .select('id')
    .where('account_id', '=', accountId)
    .orderBy('last_used_at_ms', 'desc')
    .orderBy('id')
    // SQLite allows OFFSET only together with LIMIT.
    .limit(maxRemovedAtOnce)
    .offset(beyond);
  return eb('id', 'in', old);
}

const maxRemovedAtOnce = 1000;

const rowOf = (grant: NewGrant): IdentityTables['identity_grants'] => ({
  id: grant.id,
  account_id: grant.credentials.accountId,
  client_id: grant.clientId,
  payload: grant.payload,
  family_key: grant.familyKey,
  device: grant.device,
  address: grant.address,
  login_hash: grant.loginHash ?? null,
  created_at_ms: grant.nowMs,
  last_used_at_ms: grant.nowMs,
  expires_at_ms: grant.expiresAtMs,
});

const grantOf = (row: IdentityTables['identity_grants']): StoredGrant => ({
  id: row.id,
  accountId: row.account_id,
  clientId: row.client_id,
  payload: row.payload,
  familyKey: row.family_key,
  device: row.device,
  address: row.address,
  loginHash: row.login_hash ?? undefined,
  createdAtMs: row.created_at_ms,
  lastUsedAtMs: row.last_used_at_ms,
  expiresAtMs: row.expires_at_ms,
});
