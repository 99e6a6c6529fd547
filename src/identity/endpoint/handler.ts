import type { IncomingMessage, ServerResponse } from 'node:http';
import { databaseRetrySeconds, isDatabaseUnavailable } from '../../runtime/fault.ts';
import { isAdminPath, type AdminApi } from '../admin/admin-api.ts';
import { isAccountPath, type AccountPages } from '../interaction/account-pages.ts';
import { isInteractionPath, type Interactions, type Page } from '../interaction/interactions.ts';
import { errorPage } from '../interaction/pages.ts';
import { textsFor, type Texts } from '../text/strings.ts';
import type { Resources } from '../grant/resources.ts';
import type { ClientThrottle } from './client-throttle.ts';
import { maxFormBytes, readFormBody } from './form-body.ts';
import { providerForm, withResourceUri } from './provider-form.ts';
import { mountPath } from '../request/mount-path.ts';
import { routes, type RequestContexts } from './request-contexts.ts';
import type { VisitThrottle } from './visit-throttle.ts';
import { contentSecurityPolicy, formTargetOf, setSecurityHeaders } from './security-headers.ts';

export type HandlerOptions = {
  issuer: string;
  /** oidc-provider's current request listener. It changes with the keys. */
  listener(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  interactions: Interactions;
  resources: Resources;
  accountPages: AccountPages;
  visits: VisitThrottle;
  clientThrottle: ClientThrottle;
  /** Undefined if no client may use it. */
  adminApi: AdminApi | undefined;
  contexts: RequestContexts;
};

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/**
 * Handles every request before oidc-provider: sets security headers, checks the path and the origin of forms,
 * applies rate limits, and serves identity's own pages and the administration API.
 */
export function createHandler(options: HandlerOptions): Handler {
  const { issuer, contexts } = options;
  const { protocol, host, origin } = new URL(issuer);
  const mount = mountPath(issuer);
  const forwarded = { proto: protocol.slice(0, -1), host };

  return async (request, response) => {
    setSecurityHeaders(response);
    const path = pathBelow(mount, request, options.resources);
    const texts = textsFor(request.headers['accept-language']);
    if (path === undefined)
      return sendPage(response, { status: 404, body: errorPage(texts, texts.error.notFound) });
    if (isForeignForm(request, origin, path))
      return sendPage(response, { status: 403, body: errorPage(texts, texts.error.crossSite) });
    await contexts.run(request, response, async () => {
      trustOnlyIssuer(request, forwarded);
      const throttled = throttledPage(request, path, options);
      if (throttled !== undefined) return sendPage(response, throttled);
      if (options.adminApi !== undefined && isAdminPath(path))
        return await options.adminApi.answer(request, response);
      const answer = pageAt(path, options);
      if (answer === undefined) return await passOn(request, response, path, options);
      const page = await answer(request, response, path).catch((thrown: unknown) => {
        if (!isDatabaseUnavailable(thrown) || response.headersSent) throw thrown;
        // The new cookie may name a session that was not stored, so the browser keeps its old one.
        response.removeHeader('set-cookie');
        return unavailablePage(path, texts);
      });
      if (page !== undefined) sendPage(response, page);
    });
  };
}

const calledByScript = /(?:\/passkey-challenge|\/passkeys\/challenge)$/;

function unavailablePage(path: string, texts: Texts): Page {
  const answer = { status: 503, retryAfterSeconds: databaseRetrySeconds };
  const { unavailable } = texts.error;
  if (calledByScript.test(path))
    return { ...answer, body: JSON.stringify({ problem: unavailable }), isJson: true };
  return { ...answer, body: errorPage(texts, unavailable) };
}

type Answer = (request: IncomingMessage, response: ServerResponse, path: string) => Promise<Page | undefined>;

/** The handler of one of identity's own pages; undefined: oidc-provider handles the path. */
function pageAt(path: string, { interactions, accountPages }: HandlerOptions): Answer | undefined {
  if (isInteractionPath(path)) return interactions.answer;
  return isAccountPath(path) ? accountPages.answer : undefined;
}

// oidc-provider ignores case and a trailing slash, too.
const beginning =
  /^(?:\/auth|\/device(?:\/auth)?|\/session\/end|\/interaction\/[\w-]+\/passkey-challenge|\/account\/passkeys\/challenge)\/?$/i;
const typingCode = /^\/device\/?$/i;

/** The page for a visitor who exceeds a rate limit; undefined if none is exceeded. */
function throttledPage(
  { method }: IncomingMessage,
  path: string,
  { visits, contexts }: HandlerOptions,
): Page | undefined {
  const { address, texts } = contexts.current();
  const isCode = method === 'POST' && typingCode.test(path);
  if (!isCode && !beginning.test(path)) return undefined;
  const waitMs = visits.take(isCode ? 'codes' : 'begun', address);
  if (waitMs === 0) return undefined;
  const body = errorPage(texts, texts.error.tooMany);
  return { status: 429, body, retryAfterSeconds: Math.ceil(waitMs / 1000) };
}

// RFC 9112 §3.2.2: a request target may be an absolute URL. oidc-provider would use its host as the issuer's.
const originOfTarget = /^https?:\/\/[^/?#]*/i;

// RFC 3986 §3.3. oidc-provider interprets other characters differently: for it, `/token#` and `/token\#` are
// `/token`.
const pathPattern = /^\/(?:[\w!$&'()*+,;=:@%.~-][\w!$&'()*+,;=:@%.~/-]*)?$/;

/**
 * Removes the issuer's path from the request's URL.
 * @returns the rest; undefined if the URL is not below the issuer
 */
function pathBelow(mount: string, request: IncomingMessage, resources: Resources): string | undefined {
  const url = withResourceUri((request.url ?? '/').replace(originOfTarget, ''), resources);
  if (!url.startsWith(`${mount}/`)) return undefined;
  // oidc-provider reads the removed part from `originalUrl`.
  if (mount !== '') Object.assign(request, { originalUrl: url });
  request.url = url.slice(mount.length);
  const path = request.url.split('?', 1)[0] ?? '';
  return pathPattern.test(path) ? path : undefined;
}

/** Overrides the headers for host and scheme, which oidc-provider trusts, with those of the issuer. */
function trustOnlyIssuer({ headers }: IncomingMessage, forwarded: { proto: string; host: string }): void {
  headers['x-forwarded-proto'] = forwarded.proto;
  headers['x-forwarded-host'] = forwarded.host;
}

// `/device/auth` is missing here: devices call it, no page does.
const formPaths = [routes.end_session, routes.code_verification];

/** Whether a form was sent by a page of another site. A second line of defence: the cookies are SameSite. */
function isForeignForm({ method, headers }: IncomingMessage, origin: string, path: string): boolean {
  const isPage =
    isInteractionPath(path) ||
    isAccountPath(path) ||
    formPaths.some((prefix) => path.toLowerCase().startsWith(prefix));
  if (method !== 'POST' || !isPage) return false;
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin';
  return headers.origin !== undefined && headers.origin !== origin;
}

function sendPage(response: ServerResponse, page: Page): void {
  const target = formTargetOf(page.formTarget);
  const { hasPasskeys = false } = page;
  if (target !== undefined || hasPasskeys) {
    const formTargets = target === undefined ? [] : [target];
    response.setHeader('content-security-policy', contentSecurityPolicy({ formTargets, hasPasskeys }));
  }
  if (page.location !== undefined) response.setHeader('location', page.location);
  if (page.retryAfterSeconds !== undefined) response.setHeader('retry-after', page.retryAfterSeconds);
  response
    .writeHead(page.status, {
      'content-type': page.isJson === true ? 'application/json' : 'text/html; charset=utf-8',
      'cache-control': 'no-store',
    })
    .end(page.body);
}

/** How long the key set may be cached: much shorter than a new key is published before it signs. */
const keysMaxAgeSeconds = 300;

async function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  options: HandlerOptions,
): Promise<void> {
  if (path === routes.jwks || path.startsWith('/.well-known/'))
    response.setHeader('cache-control', `public, max-age=${keysMaxAgeSeconds}`);
  const listener = options.listener();
  if (request.method !== 'POST') return await listener(request, response);
  // For every media type: oidc-provider authenticates clients even without one.
  const read = await readFormBody(request);
  if (read.kind === 'too_large') return refuseLongForm(response);
  const { bytes } = read;
  const form = providerForm(request, path, { bytes, resources: options.resources });
  const { address } = options.contexts.current();
  const attempt = options.clientThrottle.begin({ path, headers: request.headers, form: form.body, address });
  if (attempt !== undefined && attempt.waitMs > 0) return refuseThrottledClient(response, attempt.waitMs);
  await listener(form.request, response);
  attempt?.answered(response.statusCode);
}

function refuseThrottledClient(response: ServerResponse, waitMs: number): void {
  const error = { error: 'temporarily_unavailable', error_description: 'too many attempts, try again later' };
  response
    .writeHead(429, {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'retry-after': `${Math.ceil(waitMs / 1000)}`,
    })
    .end(`${JSON.stringify(error)}\n`);
}

function refuseLongForm(response: ServerResponse): void {
  response
    .writeHead(413, { 'content-type': 'application/json', connection: 'close' })
    .end(
      `${JSON.stringify({ error: 'invalid_request', error_description: `longer than ${maxFormBytes} bytes` })}\n`,
    );
}
