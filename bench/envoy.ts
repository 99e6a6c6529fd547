import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findEnvoy } from '../src/demo/programs.ts';
import { envoyConfig } from '../src/injection/envoy-config.ts';
import type { EnvoyObject } from '../src/injection/envoy-options.ts';
import { parseAddress, type Address } from '../src/runtime/address.ts';
import { routePolicy } from './load/requests.ts';
import { freePorts, isOk, startProgram, until, type RunningProgram } from './programs.ts';
import { algorithms, audience, issuerOf, jwksWithSecret } from './tokens.ts';

/** How a listener checks a request before it answers it itself. */
export type Guard =
  | { readonly kind: 'none' }
  | { readonly kind: 'jwt_authn' }
  /**
   * `jwt_authn` with what Curfew does except for revocation: headers and metadata for the upstream, and the
   * route's scope.
   */
  | { readonly kind: 'jwt_authn_and_rbac' }
  /** Envoy's default settings: every header of the request is sent to the authorizer. */
  | { readonly kind: 'ext_authz'; readonly authorizer: string }
  /**
   * The filter that `curfew envoy-config` prints, which sends only what the authorizer needs, in the same
   * listener as the others.
   */
  | { readonly kind: 'recommended_filter'; readonly authorizer: string }
  /** The whole listener that it prints, which also protects paths and reserved headers. */
  | { readonly kind: 'recommended'; readonly authorizer: string }
  /** The same listener around `jwt_authn`. */
  | { readonly kind: 'recommended_jwt_authn' };

export type BenchEnvoy = {
  readonly program: RunningProgram;
  /** By the names of the guards. */
  readonly ports: ReadonlyMap<string, number>;
};

/** An Envoy with one worker and a listener for each guard, so that all guards run in the same proxy. */
export async function startEnvoy(
  folder: string,
  name: string,
  guards: ReadonlyMap<string, Guard>,
): Promise<BenchEnvoy> {
  const { command, args } = await findEnvoy({ announce: (line) => console.log(line) });
  const [admin = 0, ...free] = await freePorts(guards.size + 1);
  const ports = new Map([...guards.keys()].map((guard, index) => [guard, free[index] ?? 0]));
  const pieces = [...guards].map(([guard, how]) => listenerOf(guard, ports.get(guard) ?? 0, how));
  const config = {
    admin: { address: socketAddress(admin) },
    static_resources: {
      listeners: pieces.map(({ listener }) => listener),
      clusters: pieces.flatMap(({ clusters }) => clusters),
    },
  };
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(config, null, 2), { mode: 0o600 });
  const program = startProgram({
    name,
    command,
    args: [...args, '-c', file, '--concurrency', '1', '--use-dynamic-base-id', '--log-level', 'warning'],
    folder,
  });
  await until(program, () => isOk(`http://127.0.0.1:${admin}/ready`));
  return { program, ports };
}

type Piece = { readonly listener: EnvoyObject; readonly clusters: readonly EnvoyObject[] };

function listenerOf(name: string, port: number, guard: Guard): Piece {
  if (guard.kind === 'recommended') return recommended(name, port, guard.authorizer);
  if (guard.kind === 'recommended_filter') return recommendedFilter(name, port, guard.authorizer);
  if (guard.kind === 'recommended_jwt_authn') return recommendedJwtAuthn(name, port);
  return {
    listener: listener(name, port, filtersOf(name, guard), guard.kind === 'ext_authz' ? routeSettings : {}),
    clusters: guard.kind === 'ext_authz' ? [cluster(name, addressOf(guard.authorizer))] : [],
  };
}

type PlainGuard = Extract<Guard, { kind: 'none' | 'jwt_authn' | 'jwt_authn_and_rbac' | 'ext_authz' }>;

function filtersOf(name: string, guard: PlainGuard): EnvoyObject[] {
  if (guard.kind === 'none') return [];
  if (guard.kind === 'jwt_authn') return [jwtAuthn({ 'x-auth-subject': 'sub' })];
  if (guard.kind === 'jwt_authn_and_rbac') return [jwtAuthn(upstreamHeaders, 'jwt'), rbac('jwt')];
  return [extAuthz(name)];
}

const directResponse = { status: 200, body: { inline_string: 'ok' } };

function listener(
  name: string,
  port: number,
  filters: readonly EnvoyObject[],
  perRoute: EnvoyObject,
): EnvoyObject {
  const route = {
    match: { prefix: '/' },
    direct_response: directResponse,
    typed_per_filter_config: perRoute,
  };
  const manager = typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: name,
    http_filters: [
      ...filters,
      { name: 'router', typed_config: typed('envoy.extensions.filters.http.router.v3.Router', {}) },
    ],
    route_config: { virtual_hosts: [{ name, domains: ['*'], routes: [route] }] },
  });
  return {
    name,
    address: socketAddress(port),
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
  };
}

const extAuthzName = 'envoy.filters.http.ext_authz';
const jwtAuthnName = 'envoy.filters.http.jwt_authn';

const routeSettings = {
  [extAuthzName]: typed('envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute', {
    check_settings: { context_extensions: routePolicy },
  }),
};

const extAuthz = (clusterName: string): EnvoyObject => ({
  name: extAuthzName,
  typed_config: typed('envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', {
    transport_api_version: 'V3',
    grpc_service: { envoy_grpc: { cluster_name: clusterName }, timeout: '1s' },
  }),
});

/**
 * Envoy's own verification, with the same rules as far as it has them, and without its cache of tokens.
 * @param headers from claims, for the upstream
 * @param metadata the name of the claims in its dynamic metadata; default: they are not in the metadata
 */
function jwtAuthn(headers: Readonly<Record<string, string>>, metadata?: string): EnvoyObject {
  const provider = (issuer: string): EnvoyObject => ({
    issuer,
    audiences: [audience],
    forward: true,
    claim_to_headers: Object.entries(headers).map(([header_name, claim_name]) => ({
      header_name,
      claim_name,
    })),
    ...(metadata !== undefined && { payload_in_metadata: metadata }),
    local_jwks: { inline_string: jwksWithSecret() },
  });
  const providers = Object.fromEntries(
    algorithms.map((algorithm) => [algorithm, provider(issuerOf(algorithm))]),
  );
  const requires = { requires_any: { requirements: algorithms.map((name) => ({ provider_name: name })) } };
  return {
    name: jwtAuthnName,
    typed_config: typed('envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
      providers,
      rules: [{ match: { prefix: '/' }, requires }],
    }),
  };
}

/** Curfew's defaults. */
const upstreamHeaders = {
  'x-auth-subject': 'sub',
  'x-auth-session': 'grant_id',
  'x-auth-issuer': 'iss',
  'x-auth-scopes': 'scope',
};

/** Requires the scope `read` among the claims in the metadata. */
function rbac(metadata: string): EnvoyObject {
  const metadata_matcher = {
    filter: jwtAuthnName,
    path: [{ key: metadata }, { key: 'scope' }],
    value: { string_match: { safe_regex: { regex: '(.* )?read( .*)?' } } },
  };
  const policy = { permissions: [{ any: true }], principals: [{ sourced_metadata: { metadata_matcher } }] };
  return {
    name: 'envoy.filters.http.rbac',
    typed_config: typed('envoy.extensions.filters.http.rbac.v3.RBAC', {
      rules: { action: 'ALLOW', policies: { scope: policy } },
    }),
  };
}

function cluster(name: string, address: EnvoyObject): EnvoyObject {
  const http = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    name,
    type: 'STATIC',
    typed_extension_protocol_options: {
      [http]: typed(http, { explicit_http_config: { http2_protocol_options: {} } }),
    },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

/**
 * The recommended listener, except that it answers itself instead of forwarding the request, like the others.
 */
function recommended(name: string, port: number, authorizer: string): Piece {
  const host = '127.0.0.1';
  const config = envoyConfig({
    services: [
      {
        name,
        listen: { host, port },
        upstream: { host, port: 9 },
        policy: { audience: 'orders', scopes: ['read'], maxExposure: '20s' },
        corsPreflight: 'deny',
      },
    ],
    authorizer: address(authorizer),
    accessLog: 'none',
  })['static_resources'] as { listeners: EnvoyObject[]; clusters: EnvoyObject[] };
  const text = JSON.stringify({ listener: config.listeners[0], clusters: config.clusters.slice(1) });
  const piece = JSON.parse(text.replaceAll('curfew_authorizer', `${name}_authorizer`)) as Piece;
  answerItself(piece.listener);
  return piece;
}

function recommendedFilter(name: string, port: number, authorizer: string): Piece {
  const whole = recommended(name, port, authorizer);
  const filter = managerOf(whole.listener).http_filters.find((entry) => entry['name'] === extAuthzName);
  if (filter === undefined) throw new Error('the recommended listener asks nobody');
  return { listener: listener(name, port, [filter], routeSettings), clusters: whole.clusters };
}

function recommendedJwtAuthn(name: string, port: number): Piece {
  const { listener: guarded } = recommended(name, port, '127.0.0.1:9');
  const found = managerOf(guarded);
  found.http_filters = found.http_filters.map((entry) =>
    entry['name'] === extAuthzName ? jwtAuthn({ 'x-auth-subject': 'sub' }) : entry,
  );
  for (const route of routesOf(guarded)) delete route['typed_per_filter_config'];
  return { listener: guarded, clusters: [] };
}

type Manager = {
  http_filters: EnvoyObject[];
  route_config: { virtual_hosts: { routes: Record<string, unknown>[] }[] };
};

function managerOf(listener: EnvoyObject): Manager {
  const chains = listener['filter_chains'] as { filters: { typed_config: Manager }[] }[];
  const found = chains[0]?.filters[0]?.typed_config;
  if (found === undefined) throw new Error('a listener without a manager');
  return found;
}

const routesOf = (listener: EnvoyObject): Record<string, unknown>[] =>
  managerOf(listener).route_config.virtual_hosts[0]?.routes ?? [];

function answerItself(listener: EnvoyObject): void {
  for (const route of routesOf(listener)) {
    delete route['route'];
    route['direct_response'] = directResponse;
  }
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

function addressOf(text: string): EnvoyObject {
  const parsed = address(text);
  return parsed.kind === 'unix' ? { pipe: { path: parsed.path } } : socketAddress(parsed.port);
}

function socketAddress(port: number): EnvoyObject {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

function typed(type: string, fields: EnvoyObject): EnvoyObject {
  return { '@type': `type.googleapis.com/${type}`, ...fields };
}
