import { Fault } from '../runtime/fault.ts';
import { clientOptions } from './envoy-clients.ts';
import { authorizerClusterName, socketAddress, typed } from './envoy-clusters.ts';
import type { EnvoyConfigOptions, EnvoyObject, EnvoyService } from './envoy-options.ts';
import { credentialHeaders, credentialNames, reservedNames, stripReserved } from './envoy-reserved.ts';
import { virtualHost } from './envoy-routes.ts';

const maxCheckTimeoutMs = 1000;

/** A listener that asks the authorizer about every request before the service sees it. */
export function httpListener(service: EnvoyService, options: EnvoyConfigOptions): EnvoyObject {
  return {
    name: service.name,
    address: socketAddress(service.listen),
    filter_chains: [
      {
        filters: [
          { name: 'envoy.filters.network.http_connection_manager', typed_config: manager(service, options) },
        ],
      },
    ],
  };
}

function manager(service: EnvoyService, options: EnvoyConfigOptions): EnvoyObject {
  return typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: service.name,
    codec_type: 'AUTO',
    ...paths(service),
    // A slow request holds memory, so its headers have a timeout. A slow response may be a stream.
    request_headers_timeout: '10s',
    stream_idle_timeout: '3600s',
    ...clientOptions(service.trustedProxyHops ?? 0),
    server_header_transformation: 'PASS_THROUGH',
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    // RFC 8441: WebSockets over HTTP/2.
    http2_protocol_options: { allow_connect: true },
    ...(options.accessLog === 'none' ? {} : { access_log: [accessLog] }),
    // `stripReserved` comes first: reserved headers reach neither the authorizer nor routes without a check.
    http_filters: [stripReserved(options.reservedPrefix, options.sources), authorize(options), router],
    route_config: {
      name: service.name,
      virtual_hosts: [virtualHost(service, credentialHeaders(options.sources))],
    },
  });
}

/**
 * Envoy resolves dot segments before it selects a route, and the service gets the resolved path. Escaped and
 * double slashes stay, because some services give them a meaning. If routes have different policies, they
 * don't stay: the service must not read another path than the one by which Envoy selected the policy.
 */
function paths({ publicPaths = [], routes = [] }: EnvoyService): EnvoyObject {
  const pathsDiffer = routes.length > 0 || publicPaths.some((path) => 'prefix' in path);
  return {
    normalize_path: true,
    merge_slashes: pathsDiffer,
    path_with_escaped_slashes_action: pathsDiffer ? 'REJECT_REQUEST' : 'KEEP_UNCHANGED',
  };
}

const router = {
  name: 'envoy.filters.http.router',
  typed_config: typed('envoy.extensions.filters.http.router.v3.Router', { suppress_envoy_headers: true }),
};

/** Retries a check that no authorizer has processed, because the connection failed or was closing. */
const retryPolicy = (timeoutMs: number): EnvoyObject => ({
  retry_on: 'connect-failure,refused-stream',
  num_retries: 4,
  retry_back_off: {
    // Envoy's default is one second, which is the whole timeout of a check.
    base_interval: seconds(Math.min(timeoutMs, 25)),
    // Envoy uses this as the timeout of each attempt, too.
    max_interval: seconds(timeoutMs),
  },
  // With several authorizers, a retry goes to one that this check has not tried.
  retry_host_predicate: [
    {
      name: 'envoy.retry_host_predicates.previous_hosts',
      typed_config: typed('envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate', {}),
    },
  ],
  host_selection_retry_max_attempts: 5,
});

const seconds = (ms: number): string => `${ms / 1000}s`;

function authorize(options: EnvoyConfigOptions): EnvoyObject {
  const { authorizerTimeoutMs = maxCheckTimeoutMs, sources } = options;
  if (!(authorizerTimeoutMs >= 1 && authorizerTimeoutMs <= maxCheckTimeoutMs))
    throw new Fault('ERR_CONFIG_INVALID', `authorizerTimeoutMs: must be from 1 to ${maxCheckTimeoutMs}`);
  const exact = new Set([
    'content-type',
    ...(options.cors === true ? ['origin'] : []),
    ...(options.loginRedirect === true ? ['accept', 'sec-fetch-mode'] : []),
  ]);
  return {
    name: 'envoy.filters.http.ext_authz',
    typed_config: typed('envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', {
      transport_api_version: 'V3',
      stat_prefix: 'curfew',
      failure_mode_allow: false,
      status_on_error: { code: 'ServiceUnavailable' },
      // Header values as bytes, and each value of a repeated header separately.
      encode_raw_headers: true,
      allowed_headers: {
        patterns: [
          // `stripReserved` has removed the other spellings, unless somebody changes the filters.
          ...credentialNames(sources),
          ...[...exact].map((name) => ({ exact: name })),
          reservedNames(options.reservedPrefix),
        ],
      },
      grpc_service: {
        envoy_grpc: { cluster_name: authorizerClusterName, max_receive_message_length: 65_536 },
        timeout: seconds(authorizerTimeoutMs),
        retry_policy: retryPolicy(authorizerTimeoutMs),
      },
    }),
  };
}

const metadata = (field: string): string =>
  `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:curfew:${field})%`;

const accessLog = {
  name: 'envoy.access_loggers.stdout',
  typed_config: typed('envoy.extensions.access_loggers.stream.v3.StdoutAccessLog', {
    log_format: {
      json_format: {
        time: '%START_TIME%',
        method: '%REQ(:METHOD)%',
        // Without the query, which may contain credentials.
        path: '%PATH(NQ:PATH)%',
        protocol: '%PROTOCOL%',
        status: '%RESPONSE_CODE%',
        flags: '%RESPONSE_FLAGS%',
        details: '%RESPONSE_CODE_DETAILS%',
        duration_ms: '%DURATION%',
        request_id: '%REQ(X-REQUEST-ID)%',
        decision: metadata('decision'),
        reason: metadata('reason'),
        mode: metadata('mode'),
        issuer: metadata('iss'),
      },
    },
  }),
};
