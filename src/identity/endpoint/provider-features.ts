import type { Configuration } from 'oidc-provider';
import { deviceGrantType } from '../../vocabulary/grant-types.ts';
import { accountClientId } from '../../vocabulary/account-client.ts';
import {
  deviceCodeSource,
  deviceConfirmSource,
  deviceDoneSource,
  logoutSource,
  loggedOutSource,
} from './provider-pages.ts';
import type { ProviderOptions } from './provider-options.ts';

/** The enabled features of oidc-provider. A feature that no client is configured for is disabled. */
export function featuresOf(options: ProviderOptions): Configuration['features'] {
  const { clients, resources, context } = options;
  const isUsed = (grantType: string): boolean =>
    clients.some(({ grant_types: grants }) => grants?.includes(grantType));
  return {
    devInteractions: { enabled: false },
    dPoP: { enabled: false },
    pushedAuthorizationRequests: { enabled: false },
    userinfo: { enabled: false },
    clientCredentials: { enabled: isUsed('client_credentials') },
    deviceFlow: {
      enabled: isUsed(deviceGrantType),
      userCodeInputSource: deviceCodeSource(context),
      userCodeConfirmSource: deviceConfirmSource(context),
      successSource: deviceDoneSource(context),
    },
    backchannelLogout: {
      enabled: clients.some(({ backchannel_logout_uri: uri }) => uri !== undefined),
    },
    introspection: {
      enabled: true,
      // RFC 7662 §2.1: only for authenticated clients; for tokens of other clients only with
      // `may_introspect`.
      allowedPolicy: (_, client, token) =>
        client.clientAuthMethod !== 'none' &&
        (token.clientId === client.clientId || client['may_introspect'] === true),
    },
    revocation: {
      enabled: true,
      allowedPolicy: (_, client, token) => token.clientId === client.clientId,
    },
    resourceIndicators: {
      enabled: true,
      // The account page gets no tokens, so it needs no resource.
      defaultResource: (_, client, oneOf) =>
        client.clientId === accountClientId
          ? []
          : resources.defaultFor(client, oneOf === undefined ? undefined : [oneOf].flat()),
      getResourceServerInfo: (ctx, identifier, client) =>
        resources.serverFor(identifier, { client, grantType: ctx.oidc.params?.['grant_type'] }),
      useGrantedResource: () => true,
    },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: logoutSource(context),
      postLogoutSuccessSource: loggedOutSource(context),
    },
  };
}
