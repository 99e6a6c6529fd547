import { errors, type FindAccount, type KoaContextWithOIDC } from 'oidc-provider';
import type { RequestContext } from '../request/request-context.ts';
import type { Account, AccountStore } from '../store/account-store.ts';
import type { SessionStore } from '../store/session-store.ts';

export type FindAccountOptions = {
  accounts: AccountStore;
  sessions: SessionStore;
  context(): RequestContext;
};

/** The key in a login result for the version of the credentials that were used. */
export const credentialsVersion = 'credentialsChangedAtMs';

/**
 * Loads the account of a request. Refuses one that is disabled, or whose password changed after the login.
 */
export function createFindAccount({ accounts, sessions, context }: FindAccountOptions): FindAccount {
  return async (ctx, id) => {
    const account = await accounts.find(id);
    if (account === undefined || account.isDisabled || !(await isLoginCurrent(ctx, account, sessions))) {
      context().isLoginRefused = true;
      // The token endpoint handles undefined; the authorization endpoint does not.
      if (ctx.oidc.session === undefined) return undefined;
      throw new errors.AccessDenied('the login is no longer valid');
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
  // A login that is completed now may have used the old password.
  if (result?.login !== undefined) return result.login[credentialsVersion] === account.credentialsChangedAtMs;
  // Read after the account: an earlier password change has ended the session, and after a later one the grant
  // is refused.
  return (await sessions.findByUid(session.uid)) !== undefined;
}
