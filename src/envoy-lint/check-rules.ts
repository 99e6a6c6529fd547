import { isLoopback } from '../runtime/address.ts';
import { finding, type Finding } from './rules.ts';
import { at, field, items, type Node } from './node.ts';
import type { Pieces } from './pieces.ts';
import { isEnum, isTrue, numberValue, secondsValue, textValue } from './values.ts';

/** A longer timeout counts as unbounded; seconds. */
const longestTimeout = 10;
const recommendedTimeout = 1;

/**
 * The findings in the configuration of an ext_authz filter. Source:
 * envoy.extensions.filters.http.ext_authz.v3.ExtAuthz.
 */
export const lintCheck = (config: Node, pieces: Pieces): Finding[] => [
  ...failureMode(config),
  ...shadowing(config),
  ...skipping(config),
  ...timeouts(config),
  ...statusOnError(config),
  ...bodySent(config),
  ...requestSent(config),
  ...clearing(config),
  ...transport(config, pieces),
];

/** The findings in a route's own settings of the check. Source: …ext_authz.v3.CheckSettings. */
export const lintOverride = (settings: Node): Finding[] => [...timeouts(settings), ...bodySent(settings)];

function failureMode(config: Node): Finding[] {
  const allow = field(config, 'failure_mode_allow');
  const mark = field(config, 'failure_mode_allow_header_add');
  return [
    ...(isTrue(allow)
      ? [finding('failure-mode-allow', pathOf(allow), 'requests pass when the authorizer does not answer')]
      : []),
    ...(isTrue(mark)
      ? [finding('failure-mode-header', pathOf(mark), 'requests that pass without an answer get a header')]
      : []),
  ];
}

function shadowing(config: Node): Finding[] {
  const shadow = field(config, 'shadow_mode');
  if (!isTrue(shadow)) return [];
  return [finding('shadow-mode', pathOf(shadow), 'requests that the authorizer denies are forwarded')];
}

function skipping(config: Node): Finding[] {
  if (isTrue(at(config, 'deny_at_disable', 'default_value'))) return [];
  const byMetadata = field(config, 'filter_enabled_metadata');
  const enabled = field(config, 'filter_enabled');
  const found =
    byMetadata === undefined
      ? []
      : [finding('check-can-be-skipped', byMetadata.path, 'only requests with certain metadata are checked')];
  if (enabled === undefined) return found;
  const fraction = fractionOf(field(enabled, 'default_value'));
  if (fraction < 1)
    return [
      ...found,
      finding('check-can-be-skipped', enabled.path, `${fraction * 100} % of the requests are checked`),
    ];
  const key = textValue(field(enabled, 'runtime_key'));
  if (key === undefined) return found;
  return [
    ...found,
    finding(
      'check-can-be-skipped',
      enabled.path,
      `the runtime key ${JSON.stringify(key)} can switch the check off`,
      'warn',
    ),
  ];
}

/** The fraction of an envoy.type.v3.FractionalPercent, 0 to 1. The default is 0 of 100. */
function fractionOf(fraction: Node | undefined): number {
  const numerator = numberValue(field(fraction, 'numerator')) ?? 0;
  const denominator = field(fraction, 'denominator');
  if (isEnum(denominator, { TEN_THOUSAND: 1 })) return Math.min(1, numerator / 10_000);
  return Math.min(1, numerator / (isEnum(denominator, { MILLION: 2 }) ? 1_000_000 : 100));
}

function timeouts(config: Node): Finding[] {
  const timeout =
    at(config, 'grpc_service', 'timeout') ?? at(config, 'http_service', 'server_uri', 'timeout');
  const seconds = secondsValue(timeout);
  if (timeout === undefined || seconds === undefined) return [];
  if (seconds === 0)
    return [finding('timeout-unbounded', timeout.path, 'there is no timeout for a decision')];
  if (seconds > longestTimeout)
    return [finding('timeout-unbounded', timeout.path, `a decision may take ${seconds} s`)];
  if (seconds > recommendedTimeout)
    return [finding('timeout-long', timeout.path, `a decision may take ${seconds} s`)];
  return [];
}

// envoy.type.v3.StatusCode
const serverErrors = {
  Forbidden: 403,
  InternalServerError: 500,
  NotImplemented: 501,
  BadGateway: 502,
  ServiceUnavailable: 503,
  GatewayTimeout: 504,
  HTTPVersionNotSupported: 505,
  VariantAlsoNegotiates: 506,
  InsufficientStorage: 507,
  LoopDetected: 508,
  NotExtended: 510,
  NetworkAuthenticationRequired: 511,
  // Envoy uses 403 if the code is out of its range, or left out.
  Empty: 0,
};

function statusOnError(config: Node): Finding[] {
  const code = at(config, 'status_on_error', 'code');
  if (code === undefined || isEnum(code, serverErrors)) return [];
  return [
    finding(
      'status-on-error',
      code.path,
      `clients get ${String(code.value)} when the authorizer is unavailable`,
    ),
  ];
}

function bodySent(config: Node): Finding[] {
  const body = field(config, 'with_request_body');
  return body === undefined
    ? []
    : [finding('body-sent', body.path, 'the body of a request is sent to the authorizer')];
}

function requestSent(config: Node): Finding[] {
  const usesGrpc = field(config, 'grpc_service') !== undefined;
  const chosen = items(at(config, 'allowed_headers', 'patterns')).length > 0;
  return usesGrpc && !chosen
    ? [finding('all-headers-sent', config.path, 'allowed_headers has no patterns')]
    : [];
}

function clearing(config: Node): Finding[] {
  const cleared = field(config, 'clear_route_cache');
  if (!isTrue(cleared)) return [];
  return [
    finding(
      'route-cache-cleared',
      pathOf(cleared),
      'an allowed request is routed again, by the headers that the authorizer set',
    ),
  ];
}

function transport(config: Node, { clusters }: Pieces): Finding[] {
  const name = textValue(at(config, 'grpc_service', 'envoy_grpc', 'cluster_name'));
  const cluster = name === undefined ? undefined : clusters.get(name);
  if (cluster === undefined || field(cluster, 'transport_socket') !== undefined) return [];
  const addresses = items(at(cluster, 'load_assignment', 'endpoints'))
    .flatMap((endpoint) => items(field(endpoint, 'lb_endpoints')))
    .map((endpoint) => at(endpoint, 'endpoint', 'address', 'socket_address', 'address'));
  const far = addresses.find((address) => address !== undefined && !isLoopbackAddress(textValue(address)));
  if (far === undefined) return [];
  return [finding('authorizer-in-clear', far.path, `checks go to ${String(far.value)} without TLS`)];
}

/** @param address as the configuration has it; undefined: it isn't text, or isn't there */
export const isLoopbackAddress = (address: string | undefined): boolean => isLoopback(address?.toLowerCase());

const pathOf = (node: Node | undefined): string => node?.path ?? '';
