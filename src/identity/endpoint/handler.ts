import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { isInteractionPath, type Interactions, type Page } from '../interaction/interactions.ts';
import { errorPage } from '../interaction/pages.ts';
import { strings } from '../interaction/strings.ts';
import type { Resources } from '../grant/resources.ts';
import { maxFormBytes, readFormBody } from './form-body.ts';
import { mountPath } from './provider.ts';
import { routes, type RequestScopes } from './request-scopes.ts';
import { contentSecurityPolicy, formTargetOf, setSecurityHeaders } from './security-headers.ts';

export type HandlerOptions = {
  issuer: string;
  /** oidc-provider's request listener; it changes with the keys. */
  listener(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  interactions: Interactions;
  resources: Resources;
  scopes: RequestScopes;
};

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Everything between the socket and oidc-provider: whose host this is, whose form, which page. */
export function createHandler(options: HandlerOptions): Handler {
  const { issuer, scopes } = options;
  const { protocol, host, origin } = new URL(issuer);
  const mount = mountPath(issuer);
  const forwarded = { proto: protocol.slice(0, -1), host };

  return async (request, response) => {
    setSecurityHeaders(response);
    const path = pathBelow(mount, request, options.resources);
    if (path === undefined) return sendPage(response, notFound);
    if (isForeignForm(request, origin, path)) return sendPage(response, crossSite);
    await scopes.run(request, async () => {
      trustOnlyIssuer(request, forwarded);
      if (isInteractionPath(path)) {
        const page = await options.interactions.answer(request, response, path);
        if (page !== undefined) sendPage(response, page);
        return;
      }
      await passOn(request, response, path, options);
    });
  };
}

const notFound: Page = { status: 404, body: errorPage(strings.error.notFound) };
const crossSite: Page = { status: 403, body: errorPage(strings.error.crossSite) };

// RFC 9112 §3.2.2: a target may be a whole URL. oidc-provider would take its host for ours.
const originOfTarget = /^https?:\/\/[^/?#]*/i;

/** The path below the issuer's, which is taken off the request's URL; undefined when it lies elsewhere. */
function pathBelow(mount: string, request: IncomingMessage, resources: Resources): string | undefined {
  const url = withResourceUri((request.url ?? '/').replace(originOfTarget, ''), resources);
  if (!url.startsWith(`${mount}/`)) return undefined;
  // Where oidc-provider looks for the part that is taken off.
  if (mount !== '') Object.assign(request, { originalUrl: url });
  request.url = url.slice(mount.length);
  return request.url.split('?', 1)[0];
}

/** Host and scheme are the issuer's, whatever a header says. */
function trustOnlyIssuer({ headers }: IncomingMessage, forwarded: { proto: string; host: string }): void {
  headers['x-forwarded-proto'] = forwarded.proto;
  headers['x-forwarded-host'] = forwarded.host;
}

/** A form of a page that another site made. The cookies are SameSite already; this is the second lock. */
function isForeignForm({ method, headers }: IncomingMessage, origin: string, path: string): boolean {
  const isPage = isInteractionPath(path) || path.toLowerCase().startsWith(routes.end_session);
  if (method !== 'POST' || !isPage) return false;
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin';
  return headers.origin !== undefined && headers.origin !== origin;
}

function sendPage(response: ServerResponse, page: Page): void {
  const target = formTargetOf(page.formTarget);
  if (target !== undefined) response.setHeader('content-security-policy', contentSecurityPolicy([target]));
  if (page.retryAfterSeconds !== undefined) response.setHeader('retry-after', page.retryAfterSeconds);
  response
    .writeHead(page.status, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
    })
    .end(page.body);
}

const formType = 'application/x-www-form-urlencoded';

/** How long a copy of the keys may be kept: far less than a new key is published before it signs. */
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
  const isForm = request.method === 'POST' && request.headers['content-type']?.startsWith(formType);
  if (isForm !== true) return await listener(request, response);
  const form = await readFormBody(request);
  if (form.kind === 'too_large') return refuseLongForm(response);
  const body = formWithResourceUri(form.bytes, options.resources);
  request.headers['content-length'] = String(body.length);
  delete request.headers['transfer-encoding'];
  return await listener(replay(request, body), response);
}

function refuseLongForm(response: ServerResponse): void {
  response
    .writeHead(413, { 'content-type': 'application/json', connection: 'close' })
    .end(
      `${JSON.stringify({ error: 'invalid_request', error_description: `longer than ${maxFormBytes} bytes` })}\n`,
    );
}

/** The request with its body to be read again. */
function replay(request: IncomingMessage, body: Buffer): IncomingMessage {
  return Object.create(request, {
    readable: { value: true },
    readableEncoding: { value: null },
    iterator: { value: () => Readable.from([body]).iterator({ destroyOnReturn: false }) },
  }) as IncomingMessage;
}

const hasResource = /(?:^|[?&])resource=/;

/** Resources may be named as they are configured; oidc-provider wants absolute URIs. */
function withResourceUri(url: string, resources: Resources): string {
  if (!hasResource.test(url)) return url;
  const [path = '', ...query] = url.split('?');
  return `${path}?${renameResources(query.join('?'), resources)}`;
}

function formWithResourceUri(bytes: Buffer, resources: Resources): Buffer {
  const text = bytes.toString('utf8');
  return hasResource.test(text) ? Buffer.from(renameResources(text, resources)) : bytes;
}

function renameResources(query: string, resources: Resources): string {
  const renamed = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(query))
    renamed.append(name, name === 'resource' ? resources.identifierOf(value) : value);
  return renamed.toString();
}
