import { sql, SqliteAdapter, type Kysely } from 'kysely';
import type { Migrations, NoTables } from '../../database/database.ts';

async function createTables(db: Kysely<NoTables>): Promise<void> {
  await createAccounts(db);
  await createGrants(db);
  await createTokens(db);
  await createSessions(db);
  await createKeys(db);
  await createIndexes(db);
}

async function createAccounts({ schema }: Kysely<NoTables>): Promise<void> {
  await schema
    .createTable('identity_accounts')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('username', 'text', (column) => column.notNull().unique())
    .addColumn('password_hash', 'text', (column) => column.notNull())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('password_changed_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('disabled_at_ms', 'bigint')
    .execute();
}

async function createGrants({ schema }: Kysely<NoTables>): Promise<void> {
  await schema
    .createTable('identity_grants')
    .addColumn('id', 'text', (column) => column.primaryKey())
    // RESTRICT: an account's grants may end only by a revocation. A cascade would not publish one.
    .addColumn('account_id', 'text', (column) =>
      column.notNull().references('identity_accounts.id').onDelete('restrict'),
    )
    .addColumn('client_id', 'text', (column) => column.notNull())
    .addColumn('payload', 'text', (column) => column.notNull())
    .addColumn('family_key', 'text', (column) => column.notNull())
    .addColumn('device', 'text', (column) => column.notNull())
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('last_used_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('expires_at_ms', 'bigint', (column) => column.notNull())
    .execute();
}

async function createTokens({ schema }: Kysely<NoTables>): Promise<void> {
  await schema
    .createTable('identity_tokens')
    .addColumn('id_hash', 'text', (column) => column.primaryKey())
    .addColumn('kind', 'text', (column) => column.notNull())
    // CASCADE: a refresh token never outlives its grant.
    .addColumn('grant_id', 'text', (column) => column.references('identity_grants.id').onDelete('cascade'))
    .addColumn('payload', 'text', (column) => column.notNull())
    .addColumn('consumed_at_ms', 'bigint')
    .addColumn('consumed_by', 'text')
    .addColumn('expires_at_ms', 'bigint', (column) => column.notNull())
    .execute();
}

async function createSessions({ schema }: Kysely<NoTables>): Promise<void> {
  await schema
    .createTable('identity_sessions')
    .addColumn('uid_hash', 'text', (column) => column.primaryKey())
    .addColumn('id_hash', 'text', (column) => column.notNull().unique())
    .addColumn('sealed_uid', 'text', (column) => column.notNull())
    .addColumn('payload', 'text', (column) => column.notNull())
    .addColumn('account_id', 'text', (column) =>
      column.references('identity_accounts.id').onDelete('cascade'),
    )
    .addColumn('expires_at_ms', 'bigint', (column) => column.notNull())
    .execute();
}

async function createKeys({ schema }: Kysely<NoTables>): Promise<void> {
  await schema
    .createTable('identity_keys')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('purpose', 'text', (column) => column.notNull())
    .addColumn('algorithm', 'text', (column) => column.notNull())
    .addColumn('material', 'text', (column) => column.notNull())
    .addColumn('is_sealed', 'integer', (column) => column.notNull())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .execute();
}

async function createIndexes({ schema }: Kysely<NoTables>): Promise<void> {
  const indexes = [
    ['identity_grants', 'account_id'],
    ['identity_grants', 'expires_at_ms'],
    ['identity_tokens', 'grant_id'],
    ['identity_tokens', 'expires_at_ms'],
    ['identity_tokens', 'consumed_at_ms'],
    ['identity_sessions', 'account_id'],
    ['identity_sessions', 'expires_at_ms'],
  ] as const;
  for (const [table, column] of indexes)
    await schema.createIndex(`${table}_${column}`).on(table).column(column).execute();
}

async function addAudit(db: Kysely<NoTables>): Promise<void> {
  const { schema } = db;
  const isSqlite = db.getExecutor().adapter instanceof SqliteAdapter;
  await schema
    .createTable('identity_audit')
    .addColumn('id', isSqlite ? 'integer' : 'bigint', (column) =>
      isSqlite ? column.primaryKey().autoIncrement() : column.primaryKey().generatedAlwaysAsIdentity(),
    )
    .addColumn('at_ms', 'bigint', (column) => column.notNull())
    .addColumn('actor_kind', 'text', (column) => column.notNull())
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('action', 'text', (column) => column.notNull())
    .addColumn('target', 'text', (column) => column.notNull())
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('details', 'text', (column) => column.notNull())
    .execute();
  await schema.createIndex('identity_audit_at_ms').on('identity_audit').column('at_ms').execute();
}

async function addLogins({ schema }: Kysely<NoTables>): Promise<void> {
  await schema.alterTable('identity_grants').addColumn('login_hash', 'text').execute();
  for (const column of ['login_hash', 'client_id'])
    await schema.createIndex(`identity_grants_${column}`).on('identity_grants').column(column).execute();
}

async function addDeviceCodes({ schema }: Kysely<NoTables>): Promise<void> {
  await schema.alterTable('identity_tokens').addColumn('user_code_hash', 'text').execute();
  await schema
    .createIndex('identity_tokens_user_code_hash')
    .on('identity_tokens')
    .column('user_code_hash')
    .unique()
    .execute();
}

async function addPasskeys({ schema }: Kysely<NoTables>): Promise<void> {
  await schema
    .createTable('identity_passkeys')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('credential_id', 'text', (column) => column.notNull().unique())
    .addColumn('account_id', 'text', (column) =>
      column.notNull().references('identity_accounts.id').onDelete('cascade'),
    )
    .addColumn('public_key', 'text', (column) => column.notNull())
    .addColumn('counter', 'bigint', (column) => column.notNull())
    .addColumn('transports', 'text', (column) => column.notNull())
    .addColumn('is_backup_eligible', 'integer', (column) => column.notNull())
    .addColumn('is_backed_up', 'integer', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('last_used_at_ms', 'bigint')
    .execute();
  await schema
    .createIndex('identity_passkeys_account_id')
    .on('identity_passkeys')
    .column('account_id')
    .execute();
}

async function addSuccessors({ schema }: Kysely<NoTables>): Promise<void> {
  await schema.alterTable('identity_tokens').addColumn('sealed_successor', 'text').execute();
  await schema.alterTable('identity_tokens').addColumn('repeated_at_ms', 'bigint').execute();
  await schema
    .createIndex('identity_tokens_sealed_successor')
    .on('identity_tokens')
    .column('consumed_at_ms')
    .where(sql.ref('sealed_successor'), 'is not', null)
    .execute();
}

async function addSuccessorHashes({ schema }: Kysely<NoTables>): Promise<void> {
  await schema.alterTable('identity_tokens').addColumn('successor_hash', 'text').execute();
}

/** Identity's schema, for `migrate`. */
export const identityMigrations: Migrations = {
  'identity-0001': { up: createTables },
  'identity-0002-audit': { up: addAudit },
  'identity-0003-logins': { up: addLogins },
  'identity-0004-device-codes': { up: addDeviceCodes },
  'identity-0005-passkeys': { up: addPasskeys },
  'identity-0006-successors': { up: addSuccessors },
  'identity-0007-successor-hashes': { up: addSuccessorHashes },
};
