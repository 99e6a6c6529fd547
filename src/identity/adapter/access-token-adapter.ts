import type { Adapter } from 'oidc-provider';
import { emptyAdapter, type ProviderAdapterOptions } from './adapter-parts.ts';

/*
 * Access tokens are JWTs and not stored. oidc-provider tells nobody about such tokens (RFC 7662), so they reach it in
 * a wrapping that it takes for one of its own kind of tokens and asks us for.
 */
const prefix = 'at~';

/** The wrapping of a JWT for introspection; other texts as they are. */
export const wrapAccessToken = (token: string): string =>
  token.includes('.') && token.startsWith('eyJ')
    ? `${prefix}${Buffer.from(token).toString('base64url')}`
    : token;

function unwrap(id: string): string | undefined {
  if (!id.startsWith(prefix)) return undefined;
  return Buffer.from(id.slice(prefix.length), 'base64url').toString();
}

/** Finds what a JWT of ours says, if it is good and not revoked. */
export function createAccessTokenAdapter({ issuedTokenVerifier, context }: ProviderAdapterOptions): Adapter {
  return {
    ...emptyAdapter('AccessToken'),
    find: async (id) => {
      // Revoking one would end its session, and every service has seen one.
      const jwt = context().route === 'revocation' ? undefined : unwrap(id);
      const claims = jwt === undefined ? undefined : await issuedTokenVerifier.verify(jwt);
      if (claims === undefined) return undefined;
      const { sub, session } = claims;
      // A client's own token has the client for its subject, and no account.
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
