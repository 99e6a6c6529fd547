import type { ClientMetadata, Provider } from 'oidc-provider';
import type { Clock } from '../../runtime/clock.ts';
import { Fault } from '../../runtime/fault.ts';
import type { Log } from '../../runtime/log.ts';
import { createLogoutNotices, type LogoutNotice, type LogoutNotices } from '../session/logout-notices.ts';

/**
 * Sends one logout token (OpenID Connect Back-Channel Logout 1.0 §2.5). Cost: a signature and a request of at
 * most 2.5 s. Rejects with the error of the request, also for an unsuccessful response.
 */
export type SendLogoutNotice = (notice: LogoutNotice) => Promise<void>;

type LogoutMethod = (subject: string, sid: string | undefined) => Promise<void>;

/**
 * Disables oidc-provider's own logout notices and returns its method to send one. oidc-provider notifies only
 * at `end_session`, before anything is committed, and only the clients in its session. Its types don't
 * declare the method.
 */
export function takeOverLogoutNotices(provider: Provider): SendLogoutNotice {
  const { prototype } = provider.Client as unknown as { prototype: { backchannelLogout?: unknown } };
  if (typeof prototype.backchannelLogout !== 'function')
    throw new Fault('ERR_INTERNAL', 'oidc-provider has no method for back-channel logout');
  const send = prototype.backchannelLogout as LogoutMethod;
  Object.defineProperty(prototype, 'backchannelLogout', { value: () => Promise.resolve() });
  return async ({ clientId, subject, sid }) => {
    const client = await provider.Client.find(clientId);
    if (client === undefined) throw new Fault('ERR_INTERNAL', 'no such client to notify');
    await send.call(client, subject, sid);
  };
}

/** Notifies clients of sessions that ended. */
export const createClientNotices = (
  { clients, clock, log }: { clients: readonly ClientMetadata[]; clock: Clock; log: Log },
  send: SendLogoutNotice,
): LogoutNotices => createLogoutNotices({ clients: clientsToNotify(clients), send, clock, log });

/** The clients with a back-channel logout URI. */
const clientsToNotify = (
  clients: readonly ClientMetadata[],
): ReadonlyMap<string, { isSessionNamed: boolean }> =>
  new Map(
    clients
      .filter(({ backchannel_logout_uri: uri }) => uri !== undefined)
      .map((client) => [
        client.client_id,
        { isSessionNamed: client.backchannel_logout_session_required !== false },
      ]),
  );

/**
 * By default, notices name the session. Otherwise the end of one session would end all sessions of the user.
 */
export const logoutDefaults = (clients: readonly ClientMetadata[]): Partial<ClientMetadata> =>
  clientsToNotify(clients).size === 0 ? {} : { backchannel_logout_session_required: true };
