import type { EnvoyObject } from './envoy-options.ts';

// The headers that clients may send (Envoy's default), that the authorizer may be configured to add, and that
// Envoy adds. Envoy has a single limit for their sum, so a client alone may also send this many.
const maxHeaders = 100 + 32 + 12;

/**
 * ext_authz answers 500 if the headers of an allowed request would exceed the limit. The client caused that,
 * so it gets the same answer as for too many headers of its own (RFC 6585 §5).
 */
const tooManyHeaders: EnvoyObject = {
  filter: {
    extension_filter: {
      name: 'envoy.access_loggers.extension_filters.cel',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter',
        // Denials by the authorizer with status 500, such as misconfigured_route, have other details.
        expression: "response.code_details == 'ext_authz_invalid'",
      },
    },
  },
  status_code: 431,
};

/**
 * What an HTTP connection manager trusts and accepts of its clients.
 * @param trustedProxyHops 0: clients connect directly, and Envoy sets `x-forwarded-proto`; 1 or more: the
 * number of proxies in front, whose `x-forwarded-proto` is passed on
 */
export const clientOptions = (trustedProxyHops: number): EnvoyObject => ({
  // Internal clients may control Envoy with `x-envoy-*` headers (retries, timeouts), so no client may be
  // internal. The only range that counts as internal is an address from which no connection comes. An empty
  // list would mean all private ranges, which include the addresses of pods.
  use_remote_address: true,
  ...(trustedProxyHops > 0 && { xff_num_trusted_hops: trustedProxyHops }),
  internal_address_config: { cidr_ranges: [{ address_prefix: '0.0.0.0', prefix_len: 32 }] },
  // By default, nginx proxies with HTTP/1.0. Load balancers use it for health checks, without a Host header.
  http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'localhost' },
  common_http_protocol_options: { max_headers_count: maxHeaders },
  local_reply_config: { mappers: [tooManyHeaders] },
});
