import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Provider } from 'oidc-provider';
import { clientAddress } from '../../runtime/client-address.ts';
import { Fault } from '../../runtime/fault.ts';
import { textsFor } from '../text/strings.ts';
import type { IssuingClock } from '../session/issuing-clock.ts';
import { deviceLabel, type RequestContext, type RouteKind } from '../request/request-context.ts';
import { createBrowserCookie } from '../request/browser-cookie.ts';

/** The paths of the provider's endpoints. */
export const routes = {
  authorization: '/auth',
  code_verification: '/device',
  device_authorization: '/device/auth',
  end_session: '/session/end',
  introspection: '/token/introspection',
  jwks: '/jwks',
  revocation: '/token/revocation',
  token: '/token',
} as const;

// By the names of oidc-provider's routes, because its matching of paths is lenient.
const kinds: Readonly<Record<string, RouteKind>> = {
  token: 'token',
  revocation: 'revocation',
  end_session_confirm: 'logout',
};

/** The contexts of requests, for code that oidc-provider calls without passing the request. */
export type RequestContexts = {
  /** Runs `work` with a new context for the request. */
  run<Result>(request: IncomingMessage, response: ServerResponse, work: () => Result): Result;
  /** @throws ERR_INTERNAL outside of `run` */
  current(): RequestContext;
};

export type RequestContextsOptions = {
  issuer: string;
  issuingClock: Pick<IssuingClock, 'now' | 'state'>;
  trustedProxyHops: number;
};

export function createRequestContexts(options: RequestContextsOptions): RequestContexts {
  const cookie = createBrowserCookie(options.issuer);
  const storage = new AsyncLocalStorage<RequestContext>();
  return {
    run: (request, response, work) => {
      let browser = cookie.read(request);
      const context: RequestContext = {
        startedAt: options.issuingClock.now(),
        isClockSynchronised: options.issuingClock.state() === 'agrees',
        get route() {
          return kinds[Provider.ctx?.oidc.route ?? ''] ?? 'other';
        },
        address: clientAddress(request, options.trustedProxyHops),
        device: deviceLabel(request.headers['user-agent']),
        texts: textsFor(request.headers['accept-language']),
        get browser() {
          return browser;
        },
        nameBrowser: () => (browser = cookie.write(response, browser)),
        grantsRead: new Map(),
        sessionsRead: new Map(),
        beforeDevice: undefined,
        loginUid: undefined,
        credentials: undefined,
        isLoginRefused: false,
        get mayRefresh() {
          return Provider.ctx?.oidc.client?.grantTypeAllowed('refresh_token') === true;
        },
        rotation: undefined,
        uses: [],
        isDatabaseLost: false,
        repeated: undefined,
      };
      return storage.run(context, work);
    },
    current: () => {
      const context = storage.getStore();
      if (context === undefined)
        throw new Fault('ERR_INTERNAL', 'the request context was read outside of a request');
      return context;
    },
  };
}
