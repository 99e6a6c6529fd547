import type { Grant, KoaContextWithOIDC } from 'oidc-provider';
import { accountClientId } from '../../vocabulary/account-client.ts';
import { sidOf } from '../session/logout-sid.ts';
import type { RequestContext } from '../request/request-context.ts';

/**
 * The grant an authorization request works on: the browser's own at this client, or a new one. What a client
 * of the operator's asks for is granted, others need the person's consent; the resources decide what there is.
 */
export const createFindGrant =
  ({ context }: { context(): RequestContext }) =>
  async (ctx: KoaContextWithOIDC): Promise<Grant | undefined> => {
    const { client, session, account, provider, result } = ctx.oidc;
    if (client === undefined || session === undefined || account === undefined) return undefined;
    // A device gets a grant of its own: it isn't the browser it is allowed in.
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
      // For a look at one's own sessions nothing is granted that would be kept.
      grant.addOIDCScope('openid');
      return grant;
    }
    // What isn't granted, the person is asked for.
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
