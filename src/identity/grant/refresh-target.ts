import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import type { Resources } from './resources.ts';

/**
 * Finds the resource of a refresh before its token is used up: refused afterwards, the client would be left without
 * one. For oidc-provider's question whether to rotate.
 * @returns true: every refresh token is used once
 * @throws InvalidTarget for a resource the token isn't for, or when it can't be told which
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
