import type { CheckRequest } from '../check/check-request.ts';
import type { Deny, HeaderValue, Reason } from '../check/decision.ts';
import { allReasons, reasons, type ReasonEntry } from '../check/reasons.ts';

export type DeniedOptions = {
  /** `full` adds the reason to the body: for development. */
  readonly detail: 'minimal' | 'full';
  /**
   * The protection space of RFC 9110 §11.5; default `curfew`. Printable ASCII without quotes or backslashes.
   */
  readonly realm?: string | undefined;
  /** Origins whose pages may read the response to a denied request, compared byte for byte. */
  readonly corsOrigins: readonly string[];
  /** Redirects a browser that navigates without a valid token to a login page. */
  readonly loginRedirect?:
    | { readonly url: string; readonly returnParameter?: string | undefined }
    | undefined;
};

/** The response that Envoy sends to a denied request. */
export type DeniedAnswer = {
  readonly httpStatus: number;
  /** google.rpc.Code; never 0, which is OK. */
  readonly grpcStatus: number;
  readonly headers: readonly HeaderValue[];
  readonly body: string;
};

/** The request headers that decide what an answer looks like. */
export const answerHeaders = (
  options: Pick<DeniedOptions, 'corsOrigins' | 'loginRedirect'>,
): readonly string[] => [
  'content-type',
  ...(options.corsOrigins.length === 0 ? [] : ['origin']),
  ...(options.loginRedirect === undefined ? [] : ['accept', 'sec-fetch-mode']),
];

const maxReturnPathLength = 2048;
const noStore: HeaderValue = ['cache-control', 'no-store'];
const problemJson: HeaderValue = ['content-type', 'application/problem+json'];
const exposed: HeaderValue = ['access-control-expose-headers', 'www-authenticate, retry-after'];

/**
 * Builds the response to a denied request in the form that its client understands: problem+json with a
 * challenge, a gRPC status, or a redirect to the login page.
 * @see RFC 6750 §3, RFC 9457
 */
export function createDeniedAnswer(
  options: DeniedOptions,
): (deny: Deny, request: CheckRequest | undefined) => DeniedAnswer {
  const realm = options.realm ?? 'curfew';
  const origins = new Set(options.corsOrigins);
  const redirectTo = options.loginRedirect;
  const bodies = new Map(allReasons.map((reason) => [reason, problem(reason, options.detail)]));

  return (deny, request) => {
    const entry = reasons[deny.reason];
    const { httpStatus, grpcStatus, code, title, retryAfterSeconds } = entry;
    const target = redirectTo !== undefined && httpStatus === 401 ? loginUrl(redirectTo, request) : undefined;
    if (target !== undefined)
      return { httpStatus: 302, grpcStatus, headers: [['location', target], noStore], body: '' };
    const headers: HeaderValue[] = [noStore, ...challenge(entry, realm, deny.requiredScopes)];
    if (retryAfterSeconds !== undefined) headers.push(['retry-after', String(retryAfterSeconds)]);
    if (isGrpc(request)) {
      // Envoy turns a local reply to a gRPC call into HTTP 200. It keeps a grpc-status that is present, and
      // sends the body as grpc-message.
      headers.push(['grpc-status', String(grpcStatus)]);
      return { httpStatus, grpcStatus, headers, body: code ?? title };
    }
    const origin = onlyValue(request, 'origin');
    if (origin !== undefined && origins.has(origin)) headers.push(...corsHeaders(origin));
    headers.push(problemJson);
    return { httpStatus, grpcStatus, headers, body: bodies.get(deny.reason) ?? '' };
  };
}

function problem(reason: Reason, detail: DeniedOptions['detail']): string {
  const { code, title, httpStatus: status } = reasons[reason];
  const type = `urn:curfew:problem:${code ?? 'no_token'}`;
  return `${JSON.stringify({ type, title, status, code, reason: detail === 'full' ? reason : undefined })}\n`;
}

// RFC 6749 §3.3: the characters of scopes and the space between them. Any other could end the quoted string.
const scopeText = /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/;

function challenge(entry: ReasonEntry, realm: string, scopes: string | undefined): HeaderValue[] {
  const { httpStatus, code } = entry;
  if (httpStatus !== 401 && httpStatus !== 403) return [];
  // RFC 6750 §3.1: the challenge to a request without credentials has no error code.
  const error = code === undefined ? '' : `, error="${code}"`;
  const named = code === 'insufficient_scope' && scopes !== undefined && scopeText.test(scopes);
  const scope = named ? `, scope="${scopes}"` : '';
  return [['www-authenticate', `Bearer realm="${realm}"${error}${scope}`]];
}

function corsHeaders(origin: string): HeaderValue[] {
  return [
    ['access-control-allow-origin', origin],
    ['access-control-allow-credentials', 'true'],
    exposed,
    ['vary', 'origin'],
  ];
}

/** Envoy's rule for a gRPC request (`Grpc::Common::hasGrpcContentType`); grpc-web is not one. */
function isGrpc(request: CheckRequest | undefined): boolean {
  const type = onlyValue(request, 'content-type');
  return type === 'application/grpc' || (type?.startsWith('application/grpc+') ?? false);
}

/** The login page for a browser that navigates; undefined for other clients. */
function loginUrl(
  redirect: NonNullable<DeniedOptions['loginRedirect']>,
  request: CheckRequest | undefined,
): string | undefined {
  if (request === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) return undefined;
  if (!acceptsHtml(onlyValue(request, 'accept'))) return undefined;
  // Fetch Metadata: scripts and frames get the 401, since they can't show a login page.
  const mode = onlyValue(request, 'sec-fetch-mode');
  if (mode !== undefined && mode !== 'navigate') return undefined;
  if (redirect.returnParameter === undefined || !isLocalPath(request.path)) return redirect.url;
  const url = new URL(redirect.url);
  url.searchParams.set(redirect.returnParameter, request.path);
  return url.href;
}

const acceptsHtml = (accept: string | undefined): boolean =>
  (accept ?? '').split(',').some((part) => part.split(';', 1)[0]?.trim().toLowerCase() === 'text/html');

// A browser reads `//host` and `/\host` as another host, which would make the login page an open redirector.
const isLocalPath = (path: string): boolean =>
  path.length <= maxReturnPathLength && /^\/(?![/\\])[\x21-\x7e]*$/.test(path) && !path.includes('\\');

function onlyValue(request: CheckRequest | undefined, name: string): string | undefined {
  const values = request?.headers.get(name);
  return values?.length === 1 ? values[0] : undefined;
}
