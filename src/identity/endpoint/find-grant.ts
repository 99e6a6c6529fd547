import type { Grant, KoaContextWithOIDC } from 'oidc-provider';
import { accountClientId } from '../../vocabulary/account-client.ts';
import { sidOf } from '../session/logout-sid.ts';
import type { RequestContext } from '../request/request-context.ts';

/**
 * Finds or creates the grant of an authorization request. A first-party client gets the scopes that it
 * requests; other clients need the user's consent. Only scopes of the requested resources can be granted.
 */
export const createFindGrant =
  ({ context }: { context(): RequestContext }) =>
  async (ctx: KoaContextWithOIDC): Promise<Grant | undefined> => {
    const { client, session, account, provider, result } = ctx.oidc;
    if (client === undefined || session === undefined || account === undefined) return undefined;
    // A device gets its own grant, not that of the browser in which it is allowed.
    const isDevice = ctx.oidc.entities.DeviceCode !== undefined;
    const { clientId } = client;
    if (isDevice)
      context().beforeDevice ??= {
        clientId,
        authorization: structuredClone(session.authorizations?.[clientId]),
      };
    const known = result?.consent?.grantId ?? (isDevice ? undefined : session.grantIdFor(clientId));
    const found = known === undefined ? undefined : await provider.Grant.find(known);
    const existing = found?.accountId === account.accountId ? found : undefined;
    const grant = existing ?? new provider.Grant({ accountId: account.accountId, clientId });
    if (clientId === accountClientId) {
      // The account page needs no stored grant.
      grant.addOIDCScope('openid');
      return grant;
    }
    // oidc-provider asks the user for scopes that are not granted.
    if (client['consent_required'] === true && result?.consent === undefined) {
      if (existing !== undefined) session.sidFor(clientId, sidOf(existing.jti));
      return existing;
    }
    const isWider = grantRequested(ctx, grant);
    context().loginUid = isDevice ? undefined : session.uid;
    if (existing === undefined || isWider) await grant.save();
    session.sidFor(clientId, sidOf(grant.jti));
    return grant;
  };

/** Adds the requested scopes to the grant. @returns whether the grant has changed */
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
