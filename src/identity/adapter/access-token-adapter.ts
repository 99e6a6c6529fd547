import type { Adapter } from 'oidc-provider';
import { emptyAdapter, type ProviderAdapterOptions } from './adapter-parts.ts';

/*
 * Access tokens are JWTs and are not stored. oidc-provider does not introspect such tokens (RFC 7662), so a
 * request's token is wrapped into an id of the form that oidc-provider looks up in storage: here.
 */
const prefix = 'at~';

/** Wraps a JWT for introspection. Other texts are returned unchanged. */
export const wrapAccessToken = (token: string): string =>
  token.includes('.') && token.startsWith('eyJ')
    ? `${prefix}${Buffer.from(token).toString('base64url')}`
    : token;

function unwrap(id: string): string | undefined {
  if (!id.startsWith(prefix)) return undefined;
  return Buffer.from(id.slice(prefix.length), 'base64url').toString();
}

/** Finds the claims of an access token of this identity if it is valid and not revoked. */
export function createAccessTokenAdapter({ issuedTokenVerifier, context }: ProviderAdapterOptions): Adapter {
  return {
    ...emptyAdapter('AccessToken'),
    find: async (id) => {
      // Not for the revocation endpoint: revoking an access token would end its session, and every service
      // that has received the token could do that.
      const jwt = context().route === 'revocation' ? undefined : unwrap(id);
      const claims = jwt === undefined ? undefined : await issuedTokenVerifier.verify(jwt);
      if (claims === undefined) return undefined;
      const { sub, session } = claims;
      // With client_credentials, the client is the subject, and there is no account.
      const account = session === undefined ? {} : { accountId: sub, grantId: session };
      return {
        kind: 'AccessToken',
        jti: claims.jti,
        iat: claims.iat,
        exp: claims.exp,
        clientId: claims.clientId,
        aud: claims.aud,
        scope: claims.scope,
        extra: { sub, ...(session === undefined ? {} : { grant_id: session }) },
        ...account,
      };
    },
  };
}
