import { errors, type Adapter, type AdapterPayload } from 'oidc-provider';
import { familyOf, isOfFamily } from '../session/refresh-token-id.ts';
import { expiryOf, reasonOf, withoutId, type ProviderAdapterOptions } from './adapter-parts.ts';
import type { GrantStore } from '../store/grant-store.ts';
import { isJustRotated, payloadOfOneUse, rotateOrRepeat } from './one-use.ts';
import { createTokenAdapter } from './token-adapter.ts';

const kind = 'RefreshToken';

/** Refresh tokens. Each is used once; the use and the successor are committed together. */
export function createRefreshTokenAdapter(options: ProviderAdapterOptions): Adapter {
  const { grants, tokens, revoker, recovery, clock, context } = options;
  const plain = createTokenAdapter(options, kind);

  return {
    ...plain,
    find: async (id) => {
      await recovery.recover(kind, id);
      const token = await tokens.find(kind, id);
      const payload = await payloadOfOneUse({ kind, id }, token, options);
      const isUsed = payload?.['consumed'] !== undefined;
      if (isUsed && context().route === 'token' && isJustRotated(token, options))
        throw new errors.InvalidGrant({ detail: 'refresh token was used a moment ago' });
      return payload ?? (await usedLongAgo(id, grants));
    },
    destroy: async (id) => {
      const grantId = (await tokens.find(kind, id))?.grantId ?? (await usedLongAgo(id, grants))?.grantId;
      if (grantId !== undefined) await revoker.revoke({ id: grantId }, reasonOf(context()));
    },
    // Marked now, committed together with the successor: a crash between the two would cost the session.
    consume: (id) => {
      context().rotation = { kind, id };
      return Promise.resolve();
    },
    upsert: async (id, payload, expiresIn) => {
      const { rotation } = context();
      context().rotation = undefined;
      if (rotation === undefined) return await plain.upsert(id, payload, expiresIn);
      const { grantId } = payload;
      const sessionUid = rotation.kind === kind ? payload.sessionUid : undefined;
      const expiresAtMs = expiryOf(clock, expiresIn);
      const successor = { kind, id, grantId, payload: withoutId(payload), expiresAtMs, sessionUid } as const;
      return await rotateOrRepeat(rotation, successor, options);
    },
  };
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
