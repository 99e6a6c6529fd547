import { errors, type Adapter, type AdapterPayload } from 'oidc-provider';
import type { Clock } from '../../runtime/clock.ts';
import { Fault } from '../../runtime/fault.ts';
import { callerHash, type RequestScope } from '../session/request-scope.ts';
import type { RevocationReason, Revoker } from '../session/revoker.ts';
import type { GrantStore } from './grant-store.ts';
import type { SessionStore } from './session-store.ts';
import type { NewToken, StoredToken, TokenKind, TokenStore } from './token-store.ts';

export type ProviderAdapterOptions = {
  grants: GrantStore;
  tokens: TokenStore;
  sessions: SessionStore;
  revoker: Revoker;
  clock: Clock;
  /** The request that is being answered. */
  scope(): RequestScope;
  /** How long after its rotation a refresh token is refused without ending its family; ms. */
  rotationLeewayMs: number;
};

/** The storage oidc-provider works on, by the name of its models. */
export function createProviderAdapter(options: ProviderAdapterOptions): (model: string) => Adapter {
  const grants = grantAdapter(options);
  const sessions = sessionAdapter(options);
  return (model) => {
    switch (model) {
      case 'Grant':
        return grants;
      case 'Session':
        return sessions;
      case 'RefreshToken':
        return refreshTokenAdapter(options);
      case 'AuthorizationCode':
      case 'Interaction':
      case 'ReplayDetection':
        return tokenAdapter(options, model);
      default:
        return emptyAdapter(model);
    }
  };
}

const expiryOf = (clock: Clock, expiresInSeconds: number | undefined): number =>
  clock.nowMs() + (expiresInSeconds ?? 0) * 1000;

/** The token itself is no part of what is stored under it. */
const withoutId = (payload: AdapterPayload): string => JSON.stringify({ ...payload, jti: undefined });

const withId = (payload: string, id: string): AdapterPayload => ({
  ...(JSON.parse(payload) as AdapterPayload),
  jti: id,
});

function payloadOf(token: StoredToken | undefined, id: string): AdapterPayload | undefined {
  if (token === undefined) return undefined;
  const { consumedAtMs } = token;
  const consumed = consumedAtMs === undefined ? {} : { consumed: Math.floor(consumedAtMs / 1000) };
  return { ...withId(token.payload, id), ...consumed };
}

function reasonOf({ route }: RequestScope): RevocationReason {
  switch (route) {
    case 'token':
      return 'reuse';
    case 'revocation':
      return 'revocation';
    case 'logout':
    case 'other':
      return 'logout';
  }
}

/** For models that are never stored: JWT access tokens, and what isn't offered. */
function emptyAdapter(model: string): Adapter {
  const refuse = (): Promise<never> =>
    Promise.reject(new Fault('ERR_INTERNAL', `${model} is not meant to be stored`));
  const nothing = (): Promise<undefined> => Promise.resolve(undefined);
  return {
    upsert: refuse,
    consume: refuse,
    find: nothing,
    findByUid: nothing,
    findByUserCode: nothing,
    destroy: nothing,
    revokeByGrantId: nothing,
  };
}

function grantAdapter({ grants, revoker, clock, scope }: ProviderAdapterOptions): Adapter {
  return {
    ...emptyAdapter('Grant'),
    upsert: async (id, payload, expiresIn) => {
      const { address, device, grantsRead, credentials } = scope();
      const { accountId, clientId } = payload;
      const expiresAtMs = expiryOf(clock, expiresIn);
      if (grantsRead.has(id)) {
        if (await grants.update(id, withoutId(payload), expiresAtMs)) return;
        throw new errors.InvalidGrant({ detail: 'the grant is gone' });
      }
      if (accountId === undefined || clientId === undefined || credentials?.accountId !== accountId)
        throw new Fault('ERR_INTERNAL', 'a grant needs a client and an account read in the same request');
      const isInserted = await grants.insert({
        id,
        clientId,
        payload: withoutId(payload),
        device,
        address,
        nowMs: clock.nowMs(),
        expiresAtMs,
        credentials,
      });
      if (!isInserted) throw new errors.InvalidGrant({ detail: 'the account has changed' });
      grantsRead.add(id);
    },
    find: async (id) => {
      const grant = await grants.find(id);
      if (grant === undefined) return undefined;
      scope().grantsRead.add(id);
      // The column moves with every refresh, the payload does not.
      return { ...withId(grant.payload, id), exp: Math.floor(grant.expiresAtMs / 1000) };
    },
    destroy: async (id) => {
      await revoker.revoke({ id }, reasonOf(scope()));
    },
  };
}

function sessionAdapter({ sessions, clock, scope }: ProviderAdapterOptions): Adapter {
  return {
    ...emptyAdapter('Session'),
    upsert: async (id, payload, expiresIn) => {
      const { sessionsRead, credentials, isLoginRefused } = scope();
      const uid = payload.uid ?? '';
      const session = {
        id,
        uid,
        payload: withoutId(payload),
        accountId: payload.accountId,
        expiresAtMs: expiryOf(clock, expiresIn),
      };
      const isNew = ![...sessionsRead.values()].includes(uid);
      // One that was read and is gone was ended meanwhile; then the browser keeps a cookie to nothing.
      if (!isLoginRefused)
        await sessions.put(session, { isNew, ...(credentials === undefined ? {} : { credentials }) });
      sessionsRead.set(id, uid);
    },
    find: async (id) => {
      const session = await sessions.find(id);
      if (session === undefined) return undefined;
      const payload = { ...withId(session.payload, id), exp: Math.floor(session.expiresAtMs / 1000) };
      if (payload.uid !== undefined) scope().sessionsRead.set(id, payload.uid);
      return payload;
    },
    findByUid: async (uid) => {
      const session = await sessions.findByUid(uid);
      if (session === undefined) return undefined;
      // Only the cookie knows the id; whoever looks by uid reads the session and never saves it.
      return { ...withId(session.payload, ''), exp: Math.floor(session.expiresAtMs / 1000) };
    },
    destroy: async (id) => {
      const { route, sessionsRead } = scope();
      // Elsewhere this is only the change of the id, which `upsert` does in one statement.
      if (route !== 'logout') return;
      await sessions.delete(id);
      sessionsRead.delete(id);
    },
  };
}

function tokenAdapter(options: ProviderAdapterOptions, kind: TokenKind): Adapter {
  const { tokens, revoker, clock, scope } = options;
  return {
    ...emptyAdapter(kind),
    upsert: async (id, payload, expiresIn) => {
      const { grantId } = kind === 'Interaction' ? { grantId: undefined } : payload;
      const token = {
        kind,
        id,
        grantId,
        payload: withoutId(payload),
        expiresAtMs: expiryOf(clock, expiresIn),
      };
      if (!(await tokens.put(token, clock.nowMs())))
        throw new errors.InvalidGrant({ detail: 'the grant is gone' });
    },
    find: async (id) => {
      return payloadOf(await tokens.find(kind, id), id);
    },
    consume: async (id) => {
      if (await tokens.consume(kind, id, { by: callerHash(scope()), nowMs: clock.nowMs() })) return;
      const grantId = (await tokens.find(kind, id))?.grantId;
      if (grantId !== undefined) await revoker.revoke({ id: grantId }, 'reuse');
      throw new errors.InvalidGrant({ detail: `${kind} already used` });
    },
    destroy: async (id) => {
      const grantId = (await tokens.find(kind, id))?.grantId;
      if (grantId === undefined) await tokens.delete(kind, id);
      // The whole family goes: a token of it goes with its grant.
      else await revoker.revoke({ id: grantId }, reasonOf(scope()));
    },
    revokeByGrantId: async (grantId) => {
      await revoker.revoke({ id: grantId }, reasonOf(scope()));
    },
  };
}

function refreshTokenAdapter(options: ProviderAdapterOptions): Adapter {
  const { tokens, revoker, clock, scope, rotationLeewayMs } = options;
  const plain = tokenAdapter(options, 'RefreshToken');

  /** Two tabs of one browser, or a retry: the late one is refused, and the family lives. */
  const isJustRotated = (token: StoredToken | undefined): boolean =>
    token?.consumedAtMs !== undefined &&
    clock.nowMs() - token.consumedAtMs < rotationLeewayMs &&
    token.consumedBy === callerHash(scope());

  async function rotate(usedId: string, successor: NewToken & { sessionUid: string | undefined }) {
    const use = { by: callerHash(scope()), nowMs: clock.nowMs() };
    const refusal = await tokens.rotate(usedId, successor, use);
    if (refusal === undefined) return;
    const used = refusal === 'used' ? await tokens.find('RefreshToken', usedId) : undefined;
    if (used?.grantId !== undefined && !isJustRotated(used))
      await revoker.revoke({ id: used.grantId }, 'reuse');
    throw new errors.InvalidGrant({ detail: `the refresh token is ${refusal}` });
  }

  return {
    ...plain,
    find: async (id) => {
      const token = await tokens.find('RefreshToken', id);
      if (scope().route === 'token' && isJustRotated(token))
        throw new errors.InvalidGrant({ detail: 'refresh token was used a moment ago' });
      return payloadOf(token, id);
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
      const successor = {
        kind: 'RefreshToken' as const,
        id,
        grantId,
        payload: withoutId(payload),
        expiresAtMs,
      };
      return await rotate(rotation.tokenId, { ...successor, sessionUid });
    },
  };
}
