import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';
import { Fault, isDatabaseUnavailable } from '../../runtime/fault.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import { describeError, type Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import { deviceGrantType, loginGrantType } from '../../vocabulary/grant-types.ts';
import type { SigningKeyRing } from '../key/key-ring.ts';
import { recordDatabaseLoss } from './answer-unavailable.ts';
import type { ProviderOptions } from './provider-options.ts';
import { takeOverLogoutNotices, type SendLogoutNotice } from './backchannel-logout.ts';
import { createProvider } from './provider.ts';

export type ProviderHolderOptions = {
  provider: ProviderOptions;
  keyRing: SigningKeyRing;
  metrics: Pick<OwnerMetrics, 'tokensIssued'>;
  log: Log;
};

export type ProviderListener = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/**
 * Holds the provider for the current keys. oidc-provider can't change its keys, so new keys need a new
 * provider.
 */
export type ProviderHolder = Part & {
  /** @throws ERR_INTERNAL before the start */
  provider(): Provider;
  listener(): ProviderListener;
  /** Sends a logout notice that the current provider signs. */
  sendLogoutNotice: SendLogoutNotice;
  /** Loads changed keys. */
  refresh(): Promise<void>;
};

type HeldProvider = { provider: Provider; listener: ProviderListener; sendLogoutNotice: SendLogoutNotice };

/** Also the time after which a key that a command added or revoked takes effect. */
const refreshEveryMs = 5000;

export function createProviderHolder(options: ProviderHolderOptions): ProviderHolder {
  const { keyRing, log } = options;
  let held: HeldProvider | undefined;
  let timer: NodeJS.Timeout | undefined;
  let refreshing: Promise<void> = Promise.resolve();

  async function refresh(): Promise<void> {
    if (!(await keyRing.refresh()) && held !== undefined) return;
    const provider = createProvider(options.provider, keyRing.current());
    observe(provider, options);
    held = {
      provider,
      listener: provider.callback(),
      sendLogoutNotice: takeOverLogoutNotices(provider),
    };
  }

  const current = (): HeldProvider => {
    if (held === undefined) throw new Fault('ERR_INTERNAL', 'the provider is not started');
    return held;
  };

  return {
    name: 'provider',
    provider: () => current().provider,
    listener: () => current().listener,
    sendLogoutNotice: (notice) => current().sendLogoutNotice(notice),
    refresh,
    start: async () => {
      await refresh();
      await checkClients(current().provider, options.provider);
      timer = setInterval(() => {
        refreshing = refresh().catch((thrown: unknown) => {
          const level = isDatabaseUnavailable(thrown) ? 'debug' : 'error';
          log[level]('could not load the keys; still using the previous ones', { err: thrown });
        });
      }, refreshEveryMs);
      timer.unref();
    },
    stop: async () => {
      clearInterval(timer);
      await refreshing;
    },
  };
}

/** Validates the clients at the start. By itself, oidc-provider validates a client at its first use. */
async function checkClients(provider: Provider, { clients }: ProviderOptions): Promise<void> {
  for (const { client_id: id } of clients) {
    try {
      await provider.Client.find(id);
    } catch (thrown) {
      const { error_description: description } = thrown as { error_description?: unknown };
      const problem = typeof description === 'string' ? description : describeError(thrown).message;
      throw new Fault('ERR_CONFIG_INVALID', `client ${id} is not valid: ${problem}`);
    }
  }
}

const grantLabels: Readonly<Record<string, string>> = {
  authorization_code: 'authorization_code',
  refresh_token: 'refresh_token',
  client_credentials: 'client_credentials',
  [loginGrantType]: 'login',
  [deviceGrantType]: 'device_code',
};

/**
 * Counts and logs the provider's events. Logs only error codes: descriptions may contain what a client sent.
 */
function observe(provider: Provider, { provider: { context }, metrics, log }: ProviderHolderOptions): void {
  provider.on('grant.success', (ctx) => {
    const grant = grantLabels[String(ctx.oidc.params?.['grant_type'])];
    if (grant !== undefined) metrics.tokensIssued.inc({ grant });
  });
  const refused = (ctx: KoaContextWithOIDC, thrown: unknown): void => {
    recordDatabaseLoss(context(), thrown);
    const { error } = thrown as { error?: unknown };
    log.debug('request refused', {
      route: ctx.oidc.route,
      ...(typeof error === 'string' ? { code: error } : {}),
      ...(ctx.oidc.client === undefined ? {} : { client: ctx.oidc.client.clientId }),
    });
  };
  provider.on('grant.error', refused);
  provider.on('authorization.error', refused);
  provider.on('revocation.error', refused);
  provider.on('end_session.error', refused);
  provider.on('introspection.error', refused);
  provider.on('device_authorization.error', refused);
  provider.on('code_verification.error', refused);
  provider.on('server_error', (ctx, thrown) => {
    const level = recordDatabaseLoss(context(), thrown) ? 'debug' : 'error';
    log[level]('request failed', { route: ctx.oidc.route, err: thrown });
  });
  // Koa's own event. Without a listener, Koa prints errors to the console.
  EventEmitter.prototype.on.call(provider, 'error', (thrown: unknown, ctx?: KoaContextWithOIDC) => {
    if (thrown === ctx?.req.socket.errored) log.debug('request aborted', { err: thrown });
    else log.error('request failed', { err: thrown });
  });
}
