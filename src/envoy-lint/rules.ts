export type Severity = 'error' | 'warn' | 'info';

type Rule = {
  /** Some rules lower it where less is at stake. */
  readonly severity: Severity;
  /** Why it is a hole. */
  readonly why: string;
  /** What to write instead. */
  readonly instead: string;
};

/** Every rule by its name. The names are stable: people ignore findings by them. */
export const lintRules = {
  'failure-mode-allow': {
    severity: 'error',
    why: 'When the authorizer is away, slow or overloaded, every request is let through, with a token or without.',
    instead: 'failure_mode_allow: false, and status_on_error: { code: ServiceUnavailable }',
  },
  'failure-mode-header': {
    severity: 'warn',
    why: 'It marks requests that were let through unchecked; there should be none, and a service that trusts the mark trusts a header.',
    instead: 'leave failure_mode_allow_header_add out',
  },
  'shadow-mode': {
    severity: 'error',
    why: 'Envoy asks the authorizer and records its answer, but forwards every request, whatever the answer is.',
    instead: 'leave shadow_mode out',
  },
  'check-can-be-skipped': {
    severity: 'error',
    why: 'Requests for which the filter is switched off go through without a check.',
    instead:
      'leave filter_enabled and filter_enabled_metadata out, or set deny_at_disable: { default_value: true }',
  },
  'check-disabled-by-default': {
    severity: 'error',
    why: 'A filter that is disabled asks only on routes that switch it on; a forgotten route is open.',
    instead: 'leave disabled out, and switch the check off on the routes that are public',
  },
  'check-conditional': {
    severity: 'warn',
    why: 'The check stands inside a filter that decides by a match whether it is made; what the match leaves out is open.',
    instead: 'ext_authz as a filter of its own, with the policy of a route in its typed_per_filter_config',
  },
  'check-missing': {
    severity: 'error',
    why: 'Nobody asks the authorizer about requests on this listener.',
    instead: 'envoy.filters.http.ext_authz before the router',
  },
  'check-after-router': {
    severity: 'error',
    why: 'The router ends the chain: what comes after it is never asked.',
    instead: 'ext_authz before envoy.filters.http.router',
  },
  'upgrade-bypasses-check': {
    severity: 'error',
    why: 'Upgraded requests take this chain of filters instead of the others, and ext_authz is not in it.',
    instead: 'leave filters out of the upgrade, so that it takes the same chain',
  },
  'answered-before-check': {
    severity: 'error',
    why: 'The filter answers requests before anyone has asked about them.',
    instead: 'ext_authz before it',
  },
  'decided-before-check': {
    severity: 'error',
    why: 'Identity headers and the metadata of ext_authz are not there yet, or come from the client.',
    instead: 'the filter behind ext_authz',
  },
  'route-cache-cleared': {
    severity: 'error',
    why: 'The request is routed once more after the check, perhaps to a route whose policy was never asked.',
    instead: 'the filter before ext_authz, or without clearing the route cache',
  },
  'request-changed-after-check': {
    severity: 'warn',
    why: 'The service gets another request than the one that was decided on.',
    instead: 'the filter before ext_authz, or one that leaves path, host, method and identity headers alone',
  },
  'path-not-normalized': {
    severity: 'error',
    why: 'Envoy chooses the route, and so the policy, by another path than the service will read (/public/../admin).',
    instead: 'normalize_path: true',
  },
  'slashes-not-merged': {
    severity: 'error',
    why: 'Routes ask for different things, and //admin may be /admin to the service but not to the router.',
    instead: 'merge_slashes: true',
  },
  'escaped-slashes-kept': {
    severity: 'error',
    why: 'Routes ask for different things, and /public/..%2fadmin may be /admin to the service but not to the router.',
    instead: 'path_with_escaped_slashes_action: REJECT_REQUEST',
  },
  'reserved-headers-kept': {
    severity: 'error',
    why: 'A client writes its own identity headers; on routes without a check nobody else removes them.',
    instead:
      'a header_mutation filter before ext_authz that removes x[^a-z0-9]auth[^a-z0-9].* (remove_on_match)',
  },
  'reserved-spellings-kept': {
    severity: 'warn',
    why: 'Servers fold punctuation into hyphens and merge trailers into headers: another spelling may be the same header.',
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
    why: 'The authorizer never sees the token, so it refuses every request that has one.',
    instead: 'the header that holds the token (or cookie) in allowed_headers, and not in disallowed_headers',
  },
  'credential-spellings-kept': {
    severity: 'warn',
    why: 'CGI, WSGI and others read x_api_token as x-api-token. The authorizer looks for a token in one of them only.',
    instead:
      'the other spellings removed before ext_authz, as envoy-config --config does, or let through by allowed_headers',
  },
  'reserved-headers-not-sent': {
    severity: 'warn',
    why: 'The authorizer removes only what it is shown: a spelling that it did not see reaches the service.',
    instead: 'the reserved names in allowed_headers, as in the filter that removes them',
  },
  'all-headers-sent': {
    severity: 'info',
    why: 'Every header of every request goes to the authorizer: slower, and more than it needs to know.',
    instead: 'allowed_headers with the credential, content-type and the reserved names',
  },
  'body-sent': {
    severity: 'warn',
    why: 'Envoy holds the request back until its body is there: streams hang, large bodies are refused. The authorizer reads no body.',
    instead: 'leave with_request_body out',
  },
  'timeout-unbounded': {
    severity: 'error',
    why: 'A stuck authorizer holds every request open, until Envoy or the service has no room left.',
    instead: 'timeout: 1s',
  },
  'timeout-long': {
    severity: 'warn',
    why: 'A decision takes less than a millisecond; whoever waits longer waits for nothing, and holds memory.',
    instead: 'timeout: 1s, or less',
  },
  'status-on-error': {
    severity: 'warn',
    why: 'Clients take it for an answer about them, or for success, while the authorizer could not be asked.',
    instead: 'status_on_error: { code: ServiceUnavailable }',
  },
  'route-unchecked': {
    severity: 'info',
    why: 'Requests to it need no token. That is how a public path is made; see that it is meant.',
    instead: 'nothing, if it is meant',
  },
  'route-setting-ignored': {
    severity: 'error',
    why: 'Envoy looks for the settings of a route under the name of the filter in http_filters. It ignores any other name.',
    instead: 'typed_per_filter_config under the name that the filter has in http_filters',
  },
  'everything-unchecked': {
    severity: 'warn',
    why: 'What no other route of the virtual host takes is open.',
    instead: 'a route without the switch as the last one, and the public paths by name before it',
  },
  'client-address-trusted': {
    severity: 'warn',
    why: 'Envoy believes X-Forwarded-For of anyone, and so that a client is internal and may steer it with x-envoy-* headers (retries, timeouts).',
    instead: 'use_remote_address: true',
  },
  'internal-addresses': {
    severity: 'info',
    why: 'Clients with a private address count as internal, and may steer Envoy with x-envoy-* headers.',
    instead: 'internal_address_config: { cidr_ranges: [{ address_prefix: 0.0.0.0, prefix_len: 32 }] }',
  },
  'proxies-trusted': {
    severity: 'info',
    why: 'The client address is taken from X-Forwarded-For, so many entries from its end as are trusted.',
    instead: 'exactly the number of your own proxies in front',
  },
  'authorizer-in-clear': {
    severity: 'info',
    why: 'Tokens go over the network without TLS, and whoever answers there decides.',
    instead: 'a Unix socket, loopback, or a transport_socket with mutual TLS',
  },
  'admin-public': {
    severity: 'error',
    why: 'Whoever reaches the admin port can read the configuration, stop Envoy and change its runtime.',
    instead: 'admin: { address: { socket_address: { address: 127.0.0.1, … } } }, or a Unix socket',
  },
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleName = keyof typeof lintRules;

/** One risky setting. */
export type Finding = {
  readonly rule: RuleName;
  readonly severity: Severity;
  /** Where in the document. */
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
