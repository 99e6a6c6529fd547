import type { ClientMetadata, Provider } from 'oidc-provider';
import type { Clock } from '../../runtime/clock.ts';
import { Fault } from '../../runtime/fault.ts';
import type { Log } from '../../runtime/log.ts';
import { createLogoutNotices, type LogoutNotice, type LogoutNotices } from '../session/logout-notices.ts';

type SendLogout = (subject: string, sid: string | undefined) => Promise<void>;

const originals = new WeakMap<Provider, SendLogout>();

/**
 * Disables oidc-provider's own logout notices and keeps its method for `createClientNotices`. oidc-provider
 * notifies only at `end_session`, before anything is committed, and only the clients in its session. Its
 * types don't declare the method.
 */
export function takeOverLogoutNotices(provider: Provider): void {
  const { prototype } = provider.Client as unknown as { prototype: { backchannelLogout?: unknown } };
  if (typeof prototype.backchannelLogout !== 'function')
    throw new Fault('ERR_INTERNAL', 'oidc-provider has no method for back-channel logout');
  originals.set(provider, prototype.backchannelLogout as SendLogout);
  Object.defineProperty(prototype, 'backchannelLogout', { value: () => Promise.resolve() });
}

/**
 * Notifies clients of sessions that ended. Each notice is signed by the provider that is current when it is
 * sent.
 */
export const createClientNotices = (
  { clients, clock, log }: { clients: readonly ClientMetadata[]; clock: Clock; log: Log },
  provider: () => Provider,
): LogoutNotices =>
  createLogoutNotices({
    clients: clientsToNotify(clients),
    send: (notice) => sendNotice(provider(), notice),
    clock,
    log,
  });

/**
 * Sends one logout token (OpenID Connect Back-Channel Logout 1.0 §2.5). Cost: a signature and a request of at
 * most 2.5 s.
 * @throws the error of the request, also for an unsuccessful response
 */
async function sendNotice(provider: Provider, { clientId, subject, sid }: LogoutNotice): Promise<void> {
  const client = await provider.Client.find(clientId);
  const send = originals.get(provider);
  if (client === undefined || send === undefined) throw new Fault('ERR_INTERNAL', 'no such client to notify');
  await send.call(client, subject, sid);
}

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
