import { errors, type FindAccount, type KoaContextWithOIDC } from 'oidc-provider';
import type { RequestContext } from '../request/request-context.ts';
import type { Account, AccountStore } from '../store/account-store.ts';
import type { SessionStore } from '../store/session-store.ts';

export type FindAccountOptions = {
  accounts: AccountStore;
  sessions: SessionStore;
  context(): RequestContext;
};

/** Key of a login's result: the version of the credentials it was made with. */
export const credentialsVersion = 'credentialsChangedAtMs';

/** Loads the account a request acts for, and refuses one that was disabled or got another password meanwhile. */
export function createFindAccount({ accounts, sessions, context }: FindAccountOptions): FindAccount {
  return async (ctx, id) => {
    const account = await accounts.find(id);
    if (account === undefined || account.isDisabled || !(await isLoginCurrent(ctx, account, sessions))) {
      context().isLoginRefused = true;
      // At the token endpoint undefined is an answer; for a browser it is not.
      if (ctx.oidc.session === undefined) return undefined;
      throw new errors.AccessDenied('the login is no longer good');
    }
    context().credentials = { accountId: account.id, changedAtMs: account.credentialsChangedAtMs };
    return {
      accountId: account.id,
      claims: () => ({ sub: account.id, preferred_username: account.username }),
    };
  };
}

async function isLoginCurrent(
  ctx: KoaContextWithOIDC,
  account: Account,
  sessions: SessionStore,
): Promise<boolean> {
  const { session, result } = ctx.oidc;
  if (session === undefined) return true;
  // A login that was begun with the old password and is finished now.
  if (result?.login !== undefined) return result.login[credentialsVersion] === account.credentialsChangedAtMs;
  // Asked after the account was read: a change before that has ended the session, a later one refuses the new grant.
  return (await sessions.findByUid(session.uid)) !== undefined;
}
