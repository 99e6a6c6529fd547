import type { Grant, KoaContextWithOIDC } from 'oidc-provider';
import type { RequestScope } from '../session/request-scope.ts';

/**
 * The grant an authorization request works on: the browser's own at this client, or a new one. Every client is the
 * operator's, so what it asks for is granted; its resources decide what there is.
 */
export const createFindGrant =
  ({ scope }: { scope(): RequestScope }) =>
  async (ctx: KoaContextWithOIDC): Promise<Grant | undefined> => {
    const { client, session, account, provider, result } = ctx.oidc;
    if (client === undefined || session === undefined || account === undefined) return undefined;
    const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
    const found = known === undefined ? undefined : await provider.Grant.find(known);
    const existing = found?.accountId === account.accountId ? found : undefined;
    const grant = existing ?? new provider.Grant({ accountId: account.accountId, clientId: client.clientId });
    const isWider = grantRequested(ctx, grant);
    scope().loginUid = session.uid;
    if (existing === undefined || isWider) await grant.save();
    return grant;
  };

/** Adds what is asked for and not yet granted. @returns whether there was anything */
function grantRequested(ctx: KoaContextWithOIDC, grant: Grant): boolean {
  const { requestParamOIDCScopes, requestParamScopes, resourceServers = {} } = ctx.oidc;
  const before = JSON.stringify([grant.openid, grant.resources]);
  if (requestParamOIDCScopes.size > 0) grant.addOIDCScope(requestParamOIDCScopes);
  for (const [identifier, server] of Object.entries(resourceServers)) {
    const scopes = [...requestParamScopes].filter((scope) => server.scopes.has(scope));
    if (scopes.length > 0) grant.addResourceScope(identifier, scopes);
  }
  return JSON.stringify([grant.openid, grant.resources]) !== before;
}
