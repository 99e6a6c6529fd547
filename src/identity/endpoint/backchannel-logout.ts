import type { ClientMetadata, Provider } from 'oidc-provider';
import type { Clock } from '../../runtime/clock.ts';
import { Fault } from '../../runtime/fault.ts';
import type { Log } from '../../runtime/log.ts';
import { createLogoutNotices, type LogoutNotice, type LogoutNotices } from '../session/logout-notices.ts';

type Tell = (subject: string, sid: string | undefined) => Promise<void>;

const originals = new WeakMap<Provider, Tell>();

/**
 * Takes the telling of clients over from oidc-provider: it does so at `end_session` only, before anything is
 * committed, and only for the clients it remembers there. The library's types leave the method out.
 */
export function takeOverLogoutNotices(provider: Provider): void {
  const { prototype } = provider.Client as unknown as { prototype: { backchannelLogout?: unknown } };
  if (typeof prototype.backchannelLogout !== 'function')
    throw new Fault('ERR_INTERNAL', 'oidc-provider has no back-channel logout');
  originals.set(provider, prototype.backchannelLogout as Tell);
  Object.defineProperty(prototype, 'backchannelLogout', { value: () => Promise.resolve() });
}

/** Tells clients of sessions that ended, in the name of whichever provider there is by then. */
export const createClientNotices = (
  { clients, clock, log }: { clients: readonly ClientMetadata[]; clock: Clock; log: Log },
  provider: () => Provider,
): LogoutNotices =>
  createLogoutNotices({
    clients: clientsToTell(clients),
    tell: (notice) => tellClient(provider(), notice),
    clock,
    log,
  });

/**
 * Sends one logout token (OpenID Connect Back-Channel Logout 1.0 §2.5). Cost: a signature and a request of 2.5 s at most.
 * @throws what the request or its answer failed with
 */
async function tellClient(provider: Provider, { clientId, subject, sid }: LogoutNotice): Promise<void> {
  const client = await provider.Client.find(clientId);
  const tell = originals.get(provider);
  if (client === undefined || tell === undefined) throw new Fault('ERR_INTERNAL', 'no such client to tell');
  await tell.call(client, subject, sid);
}

/** Clients that want to be told of sessions that end. */
const clientsToTell = (
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

/** Sessions are named to clients unless they say otherwise: else the end of one would end all of the person's. */
export const logoutDefaults = (clients: readonly ClientMetadata[]): Partial<ClientMetadata> =>
  clientsToTell(clients).size === 0 ? {} : { backchannel_logout_session_required: true };
