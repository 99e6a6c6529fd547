import { Fault } from '../runtime/fault.ts';
import { typed } from './envoy-clusters.ts';
import type { EnvoyObject, EnvoyService, PathMatch, EnvoyRoutePolicy } from './envoy-options.ts';

const perRoute = 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute';
const extAuthz = 'envoy.filters.http.ext_authz';

/**
 * The virtual host of a service. Its routes, in order: public paths, CORS preflights, routes with a policy,
 * everything else.
 * @param credentials names of the headers that may contain a token
 */
export function virtualHost(service: EnvoyService, credentials: readonly string[]): EnvoyObject {
  const { name, publicPaths = [], routes = [], policy = {} } = service;
  const unchecked = { [extAuthz]: typed(perRoute, { disabled: true }) };
  return {
    name,
    domains: ['*'],
    routes: [
      ...publicPaths.map((path) => route(service, narrowMatch(path), unchecked)),
      ...(service.corsPreflight === 'deny' ? [] : [route(service, preflight(credentials), unchecked)]),
      ...routes.map((entry) => route(service, checkedMatch(entry.path, entry.policy), checked(entry.policy))),
      route(service, { prefix: '/' }, checked(policy)),
    ],
  };
}

function route(service: EnvoyService, match: EnvoyObject, perFilter: EnvoyObject): EnvoyObject {
  const { name, maxStreamDurationMs } = service;
  return {
    match,
    route: {
      cluster: name,
      // The service decides how long a request may take.
      timeout: '0s',
      ...(maxStreamDurationMs !== undefined && {
        max_stream_duration: { max_stream_duration: `${maxStreamDurationMs / 1000}s` },
      }),
    },
    typed_per_filter_config: perFilter,
  };
}

function checked({ access, audience, scopes, maxExposure }: EnvoyRoutePolicy): EnvoyObject {
  const extensions = {
    ...(access !== undefined && { 'curfew.access': access }),
    ...(audience !== undefined && { 'curfew.audience': audience }),
    ...(scopes !== undefined && { 'curfew.scopes': scopes.join(' ') }),
    ...(maxExposure !== undefined && { 'curfew.max-exposure': maxExposure }),
  };
  if (Object.keys(extensions).length === 0) return {};
  return { [extAuthz]: typed(perRoute, { check_settings: { context_extensions: extensions } }) };
}

const matching = (name: string, regex: string): EnvoyObject => ({
  name,
  string_match: { safe_regex: { regex } },
});
const absent = (name: string): EnvoyObject => ({ name, present_match: true, invert_match: true });

// Fetch Standard: a CORS preflight is an OPTIONS request with these two headers, and without credentials or a
// body. Other OPTIONS requests are checked, because a service might answer them with data.
const preflight = (credentials: readonly string[]): EnvoyObject => ({
  prefix: '/',
  headers: [
    { name: ':method', string_match: { exact: 'OPTIONS' } },
    matching('origin', '(?:null|[a-z][a-z0-9+.-]*://[^/?#@ ]+)'),
    matching('access-control-request-method', "[A-Za-z0-9!#$%&'*+.^_`|~-]+"),
    absent('content-length'),
    absent('transfer-encoding'),
    ...[...new Set(['authorization', 'cookie', ...credentials])].map(absent),
  ],
});

// A route that requires less than the others matches as narrowly as a public path; one that requires more
// matches widely.
const checkedMatch = (path: PathMatch, { access }: EnvoyRoutePolicy): EnvoyObject => {
  if ('prefix' in path && path.prefix === '/') return { prefix: '/' };
  if ('exact' in path || access === 'optional') return narrowMatch(path);
  return { safe_regex: { regex: `(?i:${escaped(plainPrefix(path.prefix))})${belowGuardedPrefix}` } };
};

// Many servers ignore case, remove parameters and suffixes from a segment, and decode escapes, so that
// `/ADMIN`, `/admin;x`, `/admin.json` and `/admin%20` may all mean `/admin`.
const belowGuardedPrefix = '(?:[/;.%\\\\].*)?';

/**
 * Excludes paths that start with a public prefix, but that a server might resolve to a path outside of it.
 * They contain `;` (servlet containers read `/static/..;/admin` as `/admin`), backslashes, control
 * characters, or escapes of these, of dots, of slashes, of `%` or of overlong UTF-8. Such a path falls
 * through to the routes that require a token.
 */
const belowPublicPrefix =
  '(?:/(?:[^%;\\\\\\x00-\\x20\\x7f]|%(?:2[0-46-9a-dA-D]|3[0-9ac-fAC-F]|4[0-9a-fA-F]|5[0-9abd-fABD-F]|6[0-9a-fA-F]|7[0-9a-eA-E]|[89abdABD][0-9a-fA-F]|[cC][2-9a-fA-F]|[eE][1-9a-fA-F]|[fF][1-4]|[eE]0%[abAB][0-9a-fA-F]|[fF]0%[9abAB][0-9a-fA-F]))*)?';

const narrowMatch = (path: PathMatch): EnvoyObject => {
  if ('exact' in path) return { path: plainPath(path.exact) };
  return { safe_regex: { regex: `${escaped(plainPrefix(path.prefix))}${belowPublicPrefix}` } };
};

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

// RFC 3986 §3.3 without escapes. Envoy compares with the normalized path, so other paths would never match.
const plain = /^(?:\/[A-Za-z0-9\-._~!$&'()*+,=:@]*)+$/;

function plainPath(path: string): string {
  const segments = path.split('/').slice(1);
  const empty = segments.slice(0, -1).includes('');
  if (!plain.test(path) || empty || segments.includes('.') || segments.includes('..')) {
    throw new Fault(
      'ERR_CONFIG_INVALID',
      `path ${JSON.stringify(path)}: must start with a slash, without escapes, query, empty or dot segments`,
    );
  }
  return path;
}

function plainPrefix(path: string): string {
  const withoutSlash = path.endsWith('/') ? path.slice(0, -1) : path;
  if (withoutSlash === '') {
    throw new Fault('ERR_CONFIG_INVALID', 'prefix "/": would open every path; name the paths');
  }
  return plainPath(withoutSlash);
}
