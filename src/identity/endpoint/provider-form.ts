import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { Resources } from '../grant/resources.ts';
import { wrapAccessToken } from '../adapter/access-token-adapter.ts';

const formType = 'application/x-www-form-urlencoded';

/** The body that oidc-provider will read, and the request with that body. */
export type ProviderForm = { body: Buffer; request: IncomingMessage };

/** Rewrites the body of a POST for oidc-provider. */
export function providerForm(
  request: IncomingMessage,
  path: string,
  { bytes, resources }: { bytes: Buffer; resources: Resources },
): ProviderForm {
  const { headers } = request;
  const mediaType = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  const body = mediaType === formType ? rewrite(bytes, path, resources) : bytes;
  headers['content-length'] = String(body.length);
  delete headers['transfer-encoding'];
  return { body, request: replay(request, body) };
}

const introspecting = /^\/token\/introspection\/?$/i;

const rewrite = (bytes: Buffer, path: string, resources: Resources): Buffer =>
  introspecting.test(path) ? formWithWrappedToken(bytes) : formWithResourceUri(bytes, resources);

/** The request with a body that can be read again. */
function replay(request: IncomingMessage, body: Buffer): IncomingMessage {
  return Object.create(request, {
    readable: { value: true },
    readableEncoding: { value: null },
    iterator: { value: () => Readable.from([body]).iterator({ destroyOnReturn: false }) },
  }) as IncomingMessage;
}

const hasResource = /(?:^|[?&])resource=/;

/** Requests may name resources as configured, but oidc-provider needs absolute URIs. */
export function withResourceUri(url: string, resources: Resources): string {
  if (!hasResource.test(url)) return url;
  const [path = '', ...query] = url.split('?');
  return `${path}?${renameResources(query.join('?'), resources)}`;
}

function formWithResourceUri(bytes: Buffer, resources: Resources): Buffer {
  const text = bytes.toString('utf8');
  return hasResource.test(text) ? Buffer.from(renameResources(text, resources)) : bytes;
}

/** See `wrapAccessToken`. */
function formWithWrappedToken(bytes: Buffer): Buffer {
  const wrapped = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(bytes.toString('utf8')))
    wrapped.append(name, name === 'token' ? wrapAccessToken(value) : value);
  return Buffer.from(wrapped.toString());
}

function renameResources(query: string, resources: Resources): string {
  const renamed = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(query))
    renamed.append(name, name === 'resource' ? resources.identifierOf(value) : value);
  return renamed.toString();
}
