export type Severity = 'error' | 'warn' | 'info';

type Rule = {
  /** The default. A rule may lower it where less is at stake. */
  readonly severity: Severity;
  /** Why it is a risk. */
  readonly why: string;
  /** What to configure instead. */
  readonly instead: string;
};

/** Every rule by its name. The names are stable, because people ignore findings by them. */
export const lintRules = {
  'failure-mode-allow': {
    severity: 'error',
    why: 'While the authorizer is down, slow or overloaded, every request passes, with a token or without.',
    instead: 'failure_mode_allow: false, and status_on_error: { code: ServiceUnavailable }',
  },
  'failure-mode-header': {
    severity: 'warn',
    why: 'It marks requests that passed unchecked. There should be none, and a client can send the same header.',
    instead: 'remove failure_mode_allow_header_add',
  },
  'shadow-mode': {
    severity: 'error',
    why: 'Envoy asks the authorizer and records its answer, but forwards every request, whatever the answer is.',
    instead: 'remove shadow_mode',
  },
  'check-can-be-skipped': {
    severity: 'error',
    why: 'Requests for which the filter is off pass without a check.',
    instead:
      'remove filter_enabled and filter_enabled_metadata, or set deny_at_disable: { default_value: true }',
  },
  'check-disabled-by-default': {
    severity: 'error',
    why: 'A disabled filter checks only the routes that switch it on. A route that was forgotten is open.',
    instead: 'remove disabled, and switch the check off on public routes',
  },
  'check-conditional': {
    severity: 'warn',
    why: 'The check is inside a filter that decides by a match whether to run it. Requests outside of the match are open.',
    instead: 'ext_authz directly in http_filters, with the policy of a route in typed_per_filter_config',
  },
  'check-missing': {
    severity: 'error',
    why: 'No filter asks the authorizer about requests on this listener.',
    instead: 'envoy.filters.http.ext_authz before the router',
  },
  'check-after-router': {
    severity: 'error',
    why: 'The router ends the chain, so filters after it never run.',
    instead: 'ext_authz before envoy.filters.http.router',
  },
  'upgrade-bypasses-check': {
    severity: 'error',
    why: 'Upgraded requests pass through this chain of filters instead, and ext_authz is not in it.',
    instead: 'remove filters from the upgrade, so that it uses the same chain',
  },
  'answered-before-check': {
    severity: 'error',
    why: 'The filter answers requests before the authorizer has checked them.',
    instead: 'ext_authz before it',
  },
  'decided-before-check': {
    severity: 'error',
    why: 'Identity headers and the metadata of ext_authz are not set yet, or come from the client.',
    instead: 'the filter after ext_authz',
  },
  'route-cache-cleared': {
    severity: 'error',
    why: 'The request is routed again after the check, possibly to a route with a policy that was not applied.',
    instead: 'the filter before ext_authz, or without clearing the route cache',
  },
  'request-changed-after-check': {
    severity: 'warn',
    why: 'The service gets another request than the one that was authorized.',
    instead:
      'the filter before ext_authz, or one that does not change path, host, method and identity headers',
  },
  'path-not-normalized': {
    severity: 'error',
    why: 'Envoy selects the route, and so the policy, by another path than the service will read (/public/../admin).',
    instead: 'normalize_path: true',
  },
  'slashes-not-merged': {
    severity: 'error',
    why: 'Routes have different policies, and //admin may be /admin to the service but not to the router.',
    instead: 'merge_slashes: true',
  },
  'escaped-slashes-kept': {
    severity: 'error',
    why: 'Routes have different policies, and /public/..%2fadmin may be /admin to the service but not to the router.',
    instead: 'path_with_escaped_slashes_action: REJECT_REQUEST',
  },
  'reserved-headers-kept': {
    severity: 'error',
    why: 'A client can set identity headers itself. On routes without a check, nothing else removes them.',
    instead:
      'a header_mutation filter before ext_authz that removes x[^a-z0-9]auth[^a-z0-9].* (remove_on_match)',
  },
  'reserved-spellings-kept': {
    severity: 'warn',
    why: 'Servers read other punctuation as hyphens, and merge trailers into headers: another spelling may be the same header.',
    instead:
      'remove_on_match with x[^a-z0-9]auth[^a-z0-9].* in request_mutations and request_trailers_mutations',
  },
  'underscores-allowed': {
    severity: 'warn',
    why: 'CGI, WSGI and others read x_auth_subject as x-auth-subject, and only the latter is removed.',
    instead:
      'common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }, or remove both spellings',
  },
  'credential-not-sent': {
    severity: 'warn',
    why: 'The authorizer never sees the token, so it denies every request that has one.',
    instead:
      'the header that contains the token (or cookie) in allowed_headers, and not in disallowed_headers',
  },
  'credential-spellings-kept': {
    severity: 'warn',
    why: 'CGI, WSGI and others read x_api_token as x-api-token. The authorizer looks for a token in one of them only.',
    instead:
      'the other spellings removed before ext_authz, as envoy-config --config does, or sent by allowed_headers',
  },
  'reserved-headers-not-sent': {
    severity: 'warn',
    why: 'The authorizer removes only headers that it sees. A spelling that it did not see reaches the service.',
    instead: 'the reserved names in allowed_headers, as in the filter that removes them',
  },
  'all-headers-sent': {
    severity: 'info',
    why: 'Every header of every request goes to the authorizer, which is slower, and more than it needs.',
    instead: 'allowed_headers with the credential, content-type and the reserved names',
  },
  'body-sent': {
    severity: 'warn',
    why: 'Envoy buffers the body before the check: streams hang, and large bodies are refused. The authorizer reads no body.',
    instead: 'remove with_request_body',
  },
  'timeout-unbounded': {
    severity: 'error',
    why: 'A stuck authorizer keeps every request open, until Envoy or the service runs out of memory.',
    instead: 'timeout: 1s',
  },
  'timeout-long': {
    severity: 'warn',
    why: 'A decision takes less than a millisecond. Requests that wait longer will fail anyway, and use memory.',
    instead: 'timeout: 1s, or less',
  },
  'status-on-error': {
    severity: 'warn',
    why: 'Clients take it for a decision about them, or for success, although the authorizer was unavailable.',
    instead: 'status_on_error: { code: ServiceUnavailable }',
  },
  'route-unchecked': {
    severity: 'info',
    why: 'Requests to it need no token. This is how a public path is configured; check that it is intended.',
    instead: 'no change, if it is intended',
  },
  'route-setting-ignored': {
    severity: 'error',
    why: 'Envoy looks up the settings of a route by the name of the filter in http_filters. It ignores any other name.',
    instead: 'typed_per_filter_config under the name that the filter has in http_filters',
  },
  'everything-unchecked': {
    severity: 'warn',
    why: 'Requests that match no other route of the virtual host are open.',
    instead: 'a last route with the check, and the public paths by name before it',
  },
  'client-address-trusted': {
    severity: 'warn',
    why: 'Envoy trusts X-Forwarded-For of any client. A client can pass for an internal one, and control Envoy with x-envoy-* headers (retries, timeouts).',
    instead: 'use_remote_address: true',
  },
  'internal-addresses': {
    severity: 'info',
    why: 'Clients with a private address count as internal, and can control Envoy with x-envoy-* headers.',
    instead: 'internal_address_config: { cidr_ranges: [{ address_prefix: 0.0.0.0, prefix_len: 32 }] }',
  },
  'proxies-trusted': {
    severity: 'info',
    why: 'Envoy takes the client address from X-Forwarded-For, counted from its end by the number of trusted proxies.',
    instead: 'exactly the number of your own proxies in front of Envoy',
  },
  'authorizer-in-clear': {
    severity: 'info',
    why: 'Tokens go over the network without TLS, and an attacker on the path can answer for the authorizer.',
    instead: 'a Unix socket, loopback, or a transport_socket with mutual TLS',
  },
  'admin-public': {
    severity: 'error',
    why: 'Everybody who reaches the admin port can read the configuration, stop Envoy and change its runtime.',
    instead: 'admin: { address: { socket_address: { address: 127.0.0.1, … } } }, or a Unix socket',
  },
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleName = keyof typeof lintRules;

/** One risky setting. */
export type Finding = {
  readonly rule: RuleName;
  readonly severity: Severity;
  /** The path in the document. */
  readonly path: string;
  readonly what: string;
  readonly why: string;
  readonly instead: string;
};

export function finding(rule: RuleName, path: string, what: string, severity?: Severity): Finding {
  const known: Rule = lintRules[rule];
  const { why, instead } = known;
  return { rule, severity: severity ?? known.severity, path, what, why, instead };
}
