import { randomUUID } from 'node:crypto';
import type { DatabaseTransaction } from '../../database/database.ts';
import { Fault } from '../../runtime/fault.ts';
import { operator, withCommandContext, type CommandConfig, type CommandContext } from './session-commands.ts';
import type { Revocation } from '../session/revoker.ts';
import type { AuditAction, AuditEntry } from '../store/audit-store.ts';
import { createAccountStore, type Account } from '../store/account-store.ts';
import { createGrantStore, type StoredGrant } from '../store/grant-store.ts';
import { createPasskeyStore, removePasskeys, type Passkey } from '../store/passkey-store.ts';
import { namedAccount } from '../account/named-account.ts';
import { hashPassword, passwordProblem } from '../account/password.ts';
import { normalizeUsername } from '../store/username.ts';

export type UserCredentials = { username: string; password: string };

/**
 * Adds an account.
 * @returns its id, the subject of its tokens; undefined if the name is taken
 * @throws ERR_USAGE for an invalid name or password, ERR_DATABASE
 */
export async function addUser(config: CommandConfig, user: UserCredentials): Promise<string | undefined> {
  const username = validUsername(user.username);
  const passwordHash = await hashPassword(validPassword(user.password));
  return await withCommandContext(config, async ({ database, audit, clock }) => {
    const id = randomUUID();
    const nowMs = clock.nowMs();
    const account = { id, username, passwordHash, credentialsChangedAtMs: nowMs, isDisabled: false };
    const also = (trx: DatabaseTransaction) => audit.record(trx, entryOf('user.add', id), nowMs);
    return (await createAccountStore(database).insert(account, nowMs, also)) ? id : undefined;
  });
}

/**
 * Disables an account and revokes its sessions, in one transaction.
 * @returns undefined if there is no such user
 * @throws ERR_DATABASE
 */
export const disableUser = (config: CommandConfig, username: string): Promise<Revocation | undefined> =>
  withCommandContext(config, async (context) => {
    const accounts = createAccountStore(context.database);
    const account = await accountOf(context, username);
    if (account === undefined) return undefined;
    const before = (trx: DatabaseTransaction) => accounts.disable(trx, account.id, context.clock.nowMs());
    return await context.revoker.revoke({ accountId: account.id }, 'disabled', {
      before,
      audit: entryOf('user.disable', account.id),
    });
  });

/** The result of a password change, with the number of passkeys that were removed and kept. */
export type PasswordChange = Revocation & { passkeys: { removed: number; kept: number } };

/**
 * Sets a password and revokes the account's sessions, in one transaction. Also removes its passkeys, because
 * someone who knew the password may have added one.
 * @returns undefined if there is no such user
 * @throws ERR_USAGE for an invalid password, ERR_DATABASE
 */
export async function changePassword(
  config: CommandConfig,
  user: UserCredentials,
  { keepsPasskeys = false }: { keepsPasskeys?: boolean } = {},
): Promise<PasswordChange | undefined> {
  const passwordHash = await hashPassword(validPassword(user.password));
  return await withCommandContext(config, async (context) => {
    const accounts = createAccountStore(context.database);
    const account = await accountOf(context, user.username);
    if (account === undefined) return undefined;
    // The time is the version of the credentials, which must grow even if the clock was set back.
    const nowMs = Math.max(context.clock.nowMs(), account.credentialsChangedAtMs + 1);
    let removed = 0;
    const before = async (trx: DatabaseTransaction): Promise<void> => {
      await accounts.setPassword(trx, account.id, passwordHash, nowMs);
      if (keepsPasskeys) return;
      removed = await removePasskeys(trx, { accountId: account.id });
      const details = { passkeys: removed, reason: 'password' };
      const entry = { ...entryOf('passkey.remove', account.id), details };
      if (removed > 0) await context.audit.record(trx, entry, nowMs);
    };
    const revocation = await context.revoker.revoke({ accountId: account.id }, 'password', {
      before,
      audit: entryOf('user.password', account.id),
    });
    const { length: kept } = await createPasskeyStore(context.database).list(account.id);
    return { ...revocation, passkeys: { removed, kept } };
  });
}

/** An account's passkeys, the oldest first. @returns undefined if there is no such user */
export const listPasskeys = (config: CommandConfig, username: string): Promise<Passkey[] | undefined> =>
  withCommandContext(config, async (context) => {
    const account = await accountOf(context, username);
    return account === undefined ? undefined : await createPasskeyStore(context.database).list(account.id);
  });

/**
 * Removes passkeys of an account. Its sessions continue.
 * @param which an id from the list, or `all`
 * @returns how many were removed; undefined if there is no such user
 * @throws ERR_DATABASE
 */
export const removeUserPasskeys = (
  config: CommandConfig,
  username: string,
  which: string,
): Promise<number | undefined> =>
  withCommandContext(config, async (context) => {
    const account = await accountOf(context, username);
    if (account === undefined) return undefined;
    const selection = { accountId: account.id, ...(which === 'all' ? {} : { id: which }) };
    return await context.database.db.transaction().execute(async (trx) => {
      const removed = await removePasskeys(trx, selection);
      const details = which === 'all' ? { passkeys: removed } : { passkey: which };
      const entry = { ...entryOf('passkey.remove', account.id), details };
      if (removed > 0) await context.audit.record(trx, entry, context.clock.nowMs());
      return removed;
    });
  });

/** An account's sessions, the most recently used first. @returns undefined if there is no such user */
export const listSessions = (config: CommandConfig, username: string): Promise<StoredGrant[] | undefined> =>
  withCommandContext(config, async (context) => {
    const account = await accountOf(context, username);
    const page = { limit: 1000, offset: 0 };
    return account === undefined
      ? undefined
      : await createGrantStore(context.database).list({ accountId: account.id }, page);
  });

const entryOf = (action: AuditAction, target: string): AuditEntry => ({ actor: operator(), action, target });

const accountOf = ({ database }: CommandContext, username: string): Promise<Account | undefined> =>
  namedAccount(createAccountStore(database), username);

function validUsername(text: string): string {
  const username = normalizeUsername(text);
  if (username !== undefined) return username;
  throw new Fault('ERR_USAGE', 'a user name has 1 to 128 letters, digits and . _ @ + -');
}

function validPassword(password: string): string {
  const problem = passwordProblem(password);
  if (problem === undefined) return password;
  throw new Fault('ERR_USAGE', `the password ${problem}`);
}
