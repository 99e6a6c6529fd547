import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import type { Resources } from './resources.ts';

/**
 * Checks the resource of a refresh before the refresh token is used: after a later refusal, the client would
 * have no token. Called by oidc-provider to decide whether to rotate.
 * @returns true: every refresh token is used once
 * @throws InvalidTarget for a resource that the token is not for, or when the resource is ambiguous
 */
export function rotateForTarget({ oidc }: KoaContextWithOIDC, resources: Resources): boolean {
  const { client, params } = oidc;
  const token = oidc.entities.RefreshToken;
  const wanted = params?.['resource'] ?? token?.resource;
  if (client === undefined || token === undefined || wanted === undefined) return true;
  const identifier = Array.isArray(wanted) ? resources.defaultFor(client, wanted.map(String)) : wanted;
  if (typeof identifier !== 'string' || !token.resourceIndicators.has(identifier))
    throw new errors.InvalidTarget();
  resources.serverFor(identifier, { client, grantType: 'refresh_token' });
  return true;
}
