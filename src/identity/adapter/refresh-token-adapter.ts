import { errors, type Adapter, type AdapterPayload } from 'oidc-provider';
import { familyOf, isOfFamily } from '../session/refresh-token-id.ts';
import { expiryOf, reasonOf, withoutId, type ProviderAdapterOptions } from './adapter-parts.ts';
import type { GrantStore } from '../store/grant-store.ts';
import { isJustRotated, payloadOfOneUse, rotateOrRepeat } from './repeated-use.ts';
import { createTokenAdapter } from './token-adapter.ts';

const kind = 'RefreshToken';

/** Refresh tokens. Each is used once, and the use is committed together with the successor. */
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
      return payload ?? (await usedBeforePurge(id, grants));
    },
    destroy: async (id) => {
      const grantId = (await tokens.find(kind, id))?.grantId ?? (await usedBeforePurge(id, grants))?.grantId;
      if (grantId !== undefined) await revoker.revoke({ id: grantId }, reasonOf(context()));
    },
    // Only remembered here and committed with the successor: a crash between two commits would end the
    // session.
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

/** The payload of a refresh token whose row was deleted, if its mark shows that it was one. */
async function usedBeforePurge(id: string, grants: GrantStore): Promise<AdapterPayload | undefined> {
  const grantId = familyOf(id);
  const grant = grantId === undefined ? undefined : await grants.find(grantId);
  if (grant === undefined || !isOfFamily(id, grant.familyKey)) return undefined;
  const [iat, exp] = [grant.createdAtMs, grant.expiresAtMs].map((ms) => Math.floor(ms / 1000));
  const { accountId, clientId } = grant;
  // The scope of the token is unknown, but oidc-provider checks the scope before it sees that the token was
  // used. So this is the widest scope that it can have had.
  const scope = grantedScope(grant.payload);
  return { kind, jti: id, grantId, accountId, clientId, scope, iat, exp, consumed: iat };
}

/** All scopes of a grant, at all of its resources. */
function grantedScope(payload: string): string {
  const { openid, resources = {} } = JSON.parse(payload) as GrantPayload;
  return [openid?.scope ?? [], ...Object.values(resources)].flat().join(' ');
}

type GrantPayload = { openid?: { scope?: string }; resources?: Record<string, string> };
