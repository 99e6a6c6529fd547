import type { Adapter, AdapterPayload } from 'oidc-provider';
import type { RequestContext } from '../request/request-context.ts';
import { hashOf } from '../store/sealing.ts';
import { emptyAdapter, expiryOf, withId, withoutId, type ProviderAdapterOptions } from './adapter-parts.ts';

/** Browser logins. */
export function createSessionAdapter({ sessions, revoker, clock, context }: ProviderAdapterOptions): Adapter {
  return {
    ...emptyAdapter('Session'),
    upsert: async (id, payload, expiresIn) => {
      const { sessionsRead, credentials, isLoginRefused, beforeDevice } = context();
      const uid = payload.uid ?? '';
      const session = {
        id,
        uid,
        payload: withoutId(withoutDevice(payload, beforeDevice)),
        accountId: payload.accountId,
        expiresAtMs: expiryOf(clock, expiresIn),
      };
      const isNew = ![...sessionsRead.values()].includes(uid);
      // A session that was read but no longer exists was ended meanwhile. The browser then has a cookie
      // without a session.
      if (!isLoginRefused)
        await sessions.put(session, { isNew, ...(credentials === undefined ? {} : { credentials }) });
      sessionsRead.set(id, uid);
    },
    find: async (id) => {
      const session = await sessions.find(id);
      if (session === undefined) return undefined;
      const payload = { ...withId(session.payload, id), exp: Math.floor(session.expiresAtMs / 1000) };
      if (payload.uid !== undefined) context().sessionsRead.set(id, payload.uid);
      return payload;
    },
    findByUid: async (uid) => {
      const session = await sessions.findByUid(uid);
      if (session === undefined) return undefined;
      // Only the cookie contains the id. Callers that find a session by `uid` never save it.
      return { ...withId(session.payload, ''), exp: Math.floor(session.expiresAtMs / 1000) };
    },
    destroy: async (id) => {
      const { route, sessionsRead } = context();
      // Outside of a logout, oidc-provider only changes the id, which `upsert` does in one statement.
      if (route !== 'logout') return;
      const uid = sessionsRead.get(id);
      sessionsRead.delete(id);
      // Also ends grants that were added to this login after oidc-provider read it.
      if (uid !== undefined) await revoker.revoke({ loginHash: hashOf('SessionUid', uid) }, 'logout');
    },
  };
}

/**
 * oidc-provider stores a device's grant as the browser's own at this client. The browser would then lose its
 * grant, and its logout would end that of the device.
 */
function withoutDevice(payload: AdapterPayload, before: RequestContext['beforeDevice']): AdapterPayload {
  if (before === undefined) return payload;
  const { clientId, authorization } = before;
  const { [clientId]: _, ...others } = payload.authorizations ?? {};
  const authorizations = authorization === undefined ? others : { ...others, [clientId]: authorization };
  return { ...payload, authorizations };
}
