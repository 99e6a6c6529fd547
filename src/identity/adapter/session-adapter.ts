import type { Adapter, AdapterPayload } from 'oidc-provider';
import type { RequestContext } from '../request/request-context.ts';
import { hashOf } from '../store/sealing.ts';
import { emptyAdapter, expiryOf, withId, withoutId, type ProviderAdapterOptions } from './adapter-parts.ts';

/** Logins of browsers. */
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
      // One that was read and is gone was ended meanwhile; then the browser keeps a cookie to nothing.
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
      // Only the cookie knows the id; whoever looks by uid reads the session and never saves it.
      return { ...withId(session.payload, ''), exp: Math.floor(session.expiresAtMs / 1000) };
    },
    destroy: async (id) => {
      const { route, sessionsRead } = context();
      // Elsewhere this is only the change of the id, which `upsert` does in one statement.
      if (route !== 'logout') return;
      const uid = sessionsRead.get(id);
      sessionsRead.delete(id);
      // With what was begun in it since oidc-provider read it, and ended what it found there.
      if (uid !== undefined) await revoker.revoke({ loginHash: hashOf('SessionUid', uid) }, 'logout');
    },
  };
}

/** oidc-provider takes a device's grant for the browser's: the browser would lose its own, and end the device's. */
function withoutDevice(payload: AdapterPayload, before: RequestContext['beforeDevice']): AdapterPayload {
  if (before === undefined) return payload;
  const { clientId, authorization } = before;
  const { [clientId]: _, ...others } = payload.authorizations ?? {};
  const authorizations = authorization === undefined ? others : { ...others, [clientId]: authorization };
  return { ...payload, authorizations };
}
