import type { EnvoyObject } from './envoy-options.ts';

// What clients may send (Envoy's own default), what the authorizer may be configured to add, and room for what Envoy adds
// itself. Envoy measures all of them together with one limit, so a client alone may also send this many.
const maxHeaders = 100 + 32 + 12;

/**
 * ext_authz answers 500 where a request has no room left for the headers of an allowed one. That is the client's doing, so
 * it gets the answer of a request whose own headers are too large (RFC 6585 §5).
 */
const tooManyHeaders: EnvoyObject = {
  filter: {
    extension_filter: {
      name: 'envoy.access_loggers.extension_filters.cel',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter',
        // A denial of the authorizer's own with status 500, such as misconfigured_route, has other details.
        expression: "response.code_details == 'ext_authz_invalid'",
      },
    },
  },
  status_code: 431,
};

/**
 * What an HTTP connection manager believes of its clients, and what it accepts from them.
 * @param trustedProxyHops 0: clients connect directly, and Envoy writes `x-forwarded-proto`; 1 or more: that many proxies
 * are in front, and theirs is passed on
 */
export const clientOptions = (trustedProxyHops: number): EnvoyObject => ({
  // Clients must not steer Envoy with `x-envoy-*` headers (retries, timeouts), so no client is internal. Only a request
  // without X-Forwarded-For can be, by the address of its connection; no connection comes from the one below. An empty
  // list would mean all private ranges, where pods live.
  use_remote_address: true,
  ...(trustedProxyHops > 0 && { xff_num_trusted_hops: trustedProxyHops }),
  internal_address_config: { cidr_ranges: [{ address_prefix: '0.0.0.0', prefix_len: 32 }] },
  // nginx proxies with HTTP/1.0 unless it is told otherwise; load balancers check with it, and without a Host.
  http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'localhost' },
  common_http_protocol_options: { max_headers_count: maxHeaders },
  local_reply_config: { mappers: [tooManyHeaders] },
});
