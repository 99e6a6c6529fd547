import { socketAddress, typed } from './envoy-clusters.ts';
import { drainCluster, drainFilter, drainRoute, type DrainOptions } from './envoy-drain.ts';
import type { EnvoyObject, TokenSource } from './envoy-options.ts';
import { stripReserved } from './envoy-reserved.ts';
import type { ProbeTarget } from './probe-rewriting.ts';

/** Envoy answers this path with 200 as soon as it listens. */
export const envoyReadyPath = '/ready';

export type ProbeOptions = {
  readonly listen: { readonly host: string; readonly port: number };
  /** The application's address. */
  readonly upstreamHost: string;
  /** Source address of connections to the application. */
  readonly sourceAddress: string;
  readonly targets: readonly ProbeTarget[];
  /** As the authorizer's `upstream.prefix`; default `x-auth-`. */
  readonly reservedPrefix?: string | undefined;
  /** As the authorizer's `token.sources`; default: the Authorization header. */
  readonly sources?: readonly TokenSource[] | undefined;
  readonly drain?: DrainOptions;
};

const httpOptions = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/**
 * The listener for kubelet's probes: one path per probe, GET only, 404 for everything else. Other clients can
 * reach it, too, but without identity headers or credentials.
 */
export function probeListener(
  options: Pick<ProbeOptions, 'listen' | 'targets' | 'reservedPrefix' | 'sources' | 'drain'>,
): EnvoyObject {
  const { listen, targets, reservedPrefix, sources, drain } = options;
  const manager = typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'curfew_probes',
    codec_type: 'AUTO',
    request_headers_timeout: '5s',
    server_header_transformation: 'PASS_THROUGH',
    http_filters: [
      stripReserved(reservedPrefix, sources),
      ...(drain === undefined ? [] : [drainFilter]),
      ...targets.filter(isChecked).map(healthFilter),
      {
        name: 'envoy.filters.http.router',
        typed_config: typed('envoy.extensions.filters.http.router.v3.Router', {
          suppress_envoy_headers: true,
        }),
      },
    ],
    route_config: {
      name: 'curfew_probes',
      virtual_hosts: [
        {
          name: 'curfew_probes',
          domains: ['*'],
          routes: [
            { match: getOf(envoyReadyPath), direct_response: { status: 200 } },
            ...(drain === undefined ? [] : [drainRoute(drain)]),
            ...targets.filter(isHttp).map(httpRoute),
          ],
        },
      ],
    },
  });
  return {
    name: 'curfew_probes',
    address: socketAddress(listen),
    filter_chains: [
      { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
    ],
  };
}

/** One cluster for each port and kind of probe, and one for Envoy's admin port. */
export function probeClusters(options: ProbeOptions): EnvoyObject[] {
  const clusters = new Map(options.targets.map((target) => [clusterName(target), cluster(target, options)]));
  return [...clusters.values(), ...(options.drain === undefined ? [] : [drainCluster(options.drain)])];
}

type HttpTarget = Extract<ProbeTarget, { kind: 'http' }>;
type CheckedTarget = Exclude<ProbeTarget, HttpTarget>;
const isHttp = (target: ProbeTarget): target is HttpTarget => target.kind === 'http';
const isChecked = (target: ProbeTarget): target is CheckedTarget => target.kind !== 'http';

function clusterName(target: ProbeTarget): string {
  switch (target.kind) {
    case 'http':
      return `curfew_probe_${target.scheme.toLowerCase()}_${target.port}`;
    case 'tcp':
      return `curfew_probe_tcp_${target.port}_${target.timeoutMs}`;
    case 'grpc':
      return `curfew_probe_grpc_${target.port}_${target.timeoutMs}_${target.service}`;
  }
}

const getOf = (path: string): EnvoyObject => ({
  path,
  headers: [{ name: ':method', string_match: { exact: 'GET' } }],
});

const httpRoute = (target: HttpTarget): EnvoyObject => ({
  match: getOf(target.path),
  route: {
    cluster: clusterName(target),
    prefix_rewrite: target.toPath,
    // kubelet applies the timeout of the probe.
    timeout: '0s',
  },
  // kubelet would follow a redirect to a path that this listener doesn't have. A 3xx without a location is a
  // success.
  response_headers_to_remove: ['location'],
});

/**
 * Answers with the health of a cluster that Envoy checks by TCP or gRPC: 200 while it is healthy, else 503.
 */
const healthFilter = (target: CheckedTarget): EnvoyObject => ({
  name: `curfew.probe.${clusterName(target)}`,
  typed_config: typed('envoy.extensions.filters.http.health_check.v3.HealthCheck', {
    pass_through_mode: false,
    headers: [{ name: ':path', string_match: { exact: target.path } }],
    cluster_min_healthy_percentages: { [clusterName(target)]: { value: 100 } },
  }),
});

function cluster(target: ProbeTarget, { upstreamHost, sourceAddress }: ProbeOptions): EnvoyObject {
  const name = clusterName(target);
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [{ endpoint: { address: socketAddress({ host: upstreamHost, port: target.port }) } }],
        },
      ],
    },
    upstream_bind_config: { source_address: { address: sourceAddress, port_value: 0 } },
    ...probeSettings(target),
  };
}

function probeSettings(target: ProbeTarget): EnvoyObject {
  switch (target.kind) {
    case 'http':
      if (target.scheme === 'HTTP') return {};
      return {
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          // kubelet doesn't verify the certificate of a probed port either.
          typed_config: typed('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {}),
        },
      };
    case 'tcp':
      return { health_checks: [{ ...healthCheck(target), tcp_health_check: {} }] };
    case 'grpc':
      return {
        health_checks: [
          {
            ...healthCheck(target),
            // The default is the cluster's name. It contains the service's name, which may be no valid
            // authority.
            grpc_health_check: { service_name: target.service, authority: `localhost:${target.port}` },
          },
        ],
        typed_extension_protocol_options: {
          [httpOptions]: typed(httpOptions, { explicit_http_config: { http2_protocol_options: {} } }),
        },
      };
  }
}

// An answer is at most one second old. kubelet applies the thresholds of the probe.
const healthCheck = ({ timeoutMs }: CheckedTarget): EnvoyObject => ({
  timeout: `${timeoutMs / 1000}s`,
  interval: '1s',
  no_traffic_interval: '1s',
  no_traffic_healthy_interval: '1s',
  unhealthy_threshold: 1,
  healthy_threshold: 1,
  always_log_health_check_failures: false,
});
