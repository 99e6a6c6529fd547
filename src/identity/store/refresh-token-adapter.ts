import { errors, type Adapter, type AdapterPayload } from 'oidc-provider';
import { familyOf, isOfFamily } from '../session/refresh-token-id.ts';
import { callerHash } from '../session/request-scope.ts';
import { expiryOf, payloadOf, reasonOf, withoutId, type ProviderAdapterOptions } from './adapter-parts.ts';
import type { GrantStore } from './grant-store.ts';
import { createTokenAdapter } from './token-adapter.ts';
import type { NewToken, StoredToken } from './token-store.ts';

const kind = 'RefreshToken';

/** Refresh tokens: each is used once, and its successor is committed with its use. */
export function createRefreshTokenAdapter(options: ProviderAdapterOptions): Adapter {
  const { grants, tokens, revoker, recovery, clock, scope } = options;
  const plain = createTokenAdapter(options, kind);

  return {
    ...plain,
    find: async (id) => {
      await recovery.settle(kind, id);
      const token = await tokens.find(kind, id);
      if (scope().route === 'token' && isJustRotated(token, options))
        throw new errors.InvalidGrant({ detail: 'refresh token was used a moment ago' });
      return payloadOf(token, id) ?? (await usedLongAgo(id, grants));
    },
    destroy: async (id) => {
      const grantId = (await tokens.find(kind, id))?.grantId ?? (await usedLongAgo(id, grants))?.grantId;
      if (grantId !== undefined) await revoker.revoke({ id: grantId }, reasonOf(scope()));
    },
    // Marked now, committed together with the successor: a crash between the two would cost the session.
    consume: (id) => {
      scope().rotation = { tokenId: id };
      return Promise.resolve();
    },
    upsert: async (id, payload, expiresIn) => {
      const { rotation } = scope();
      scope().rotation = undefined;
      if (rotation === undefined) return await plain.upsert(id, payload, expiresIn);
      const { grantId, sessionUid } = payload;
      const expiresAtMs = expiryOf(clock, expiresIn);
      const successor = { kind, id, grantId, payload: withoutId(payload), expiresAtMs, sessionUid } as const;
      return await rotate(rotation.tokenId, successor, options);
    },
  };
}

/** Two tabs of one browser, or a retry: the late one is refused, and the family lives. */
const isJustRotated = (
  token: StoredToken | undefined,
  { clock, scope, rotationLeewayMs }: ProviderAdapterOptions,
): boolean =>
  token?.consumedAtMs !== undefined &&
  clock.nowMs() - token.consumedAtMs < rotationLeewayMs &&
  token.consumedBy === callerHash(scope());

/** @throws InvalidGrant when another request was faster, or the family has ended */
async function rotate(
  usedId: string,
  successor: NewToken & { sessionUid: string | undefined },
  options: ProviderAdapterOptions,
): Promise<void> {
  const { tokens, revoker, clock, scope } = options;
  const use = { by: callerHash(scope()), nowMs: clock.nowMs() };
  scope().uses.push({ kind, id: usedId, use, successorId: successor.id });
  const refusal = await tokens.rotate(usedId, successor, use);
  if (refusal === undefined) return;
  const used = refusal === 'used' ? await tokens.find(kind, usedId) : undefined;
  if (used?.grantId !== undefined && !isJustRotated(used, options))
    await revoker.revoke({ id: used.grantId }, 'reuse');
  throw new errors.InvalidGrant({ detail: `the refresh token is ${refusal}` });
}

/** What is known of a token whose row is gone, if it was one. */
async function usedLongAgo(id: string, grants: GrantStore): Promise<AdapterPayload | undefined> {
  const grantId = familyOf(id);
  const grant = grantId === undefined ? undefined : await grants.find(grantId);
  if (grant === undefined || !isOfFamily(id, grant.familyKey)) return undefined;
  const [iat, exp] = [grant.createdAtMs, grant.expiresAtMs].map((ms) => Math.floor(ms / 1000));
  const { accountId, clientId } = grant;
  // Its scope is forgotten, and is asked for before the use is looked at: the widest there can have been.
  const scope = grantedScope(grant.payload);
  return { kind, jti: id, grantId, accountId, clientId, scope, iat, exp, consumed: iat };
}

/** All that a grant's tokens may do, at all of its resources. */
function grantedScope(payload: string): string {
  const { openid, resources = {} } = JSON.parse(payload) as GrantPayload;
  return [openid?.scope ?? [], ...Object.values(resources)].flat().join(' ');
}

type GrantPayload = { openid?: { scope?: string }; resources?: Record<string, string> };
