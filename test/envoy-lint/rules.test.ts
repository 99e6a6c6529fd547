import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lintEnvoy } from '../../src/envoy-lint/lint.ts';
import { defaultLintOptions } from '../../src/envoy-lint/options.ts';
import { lintRules, type Finding, type RuleName, type Severity } from '../../src/envoy-lint/rules.ts';
import { filter, findingsIn, partsOf, put, recommended, type Parts, type Tree } from './samples.ts';

type Sample = {
  readonly rule: RuleName;
  readonly name: string;
  readonly severity?: Severity;
  /** Headers that tokens come in; default `authorization`. */
  readonly credentials?: readonly string[];
  /** Ends the path of the finding. */
  readonly at: RegExp;
  spoil(parts: Parts): void;
  /** Nearly the same, and nothing wrong with it; default: nothing changed. */
  repair?(parts: Parts): void;
};

const router = (parts: Parts): Tree => parts.filters.at(-1) as Tree;
const afterCheck = (parts: Parts, one: Tree): void => void parts.filters.splice(2, 0, one);
const beforeCheck = (parts: Parts, one: Tree): void => void parts.filters.splice(1, 0, one);
const unchecked = {
  'envoy.filters.http.ext_authz': {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute',
    disabled: true,
  },
};
const route = (match: object, perFilter: object = {}): Tree =>
  ({ match, route: { cluster: 'orders' }, typed_per_filter_config: perFilter }) as unknown as Tree;
const asking = (timeout: string) => ({
  'envoy.filters.http.ext_authz': {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute',
    check_settings: { grpc_service: { timeout } },
  },
});
const switchedOn = {
  'envoy.filters.http.ext_authz': {
    '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig',
    config: {},
  },
};
const withoutStripping = {
  'curfew.strip_reserved_headers': {
    '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig',
    disabled: true,
  },
};
const script = (code: string): Record<string, unknown> => ({ default_source_code: { inline_string: code } });
const changing = "function envoy_on_request(handle) handle:headers():replace(':path', '/') end";
const removing = (...names: readonly string[]): object[] =>
  names.map((name) => ({ remove: `X-Auth-${name}` }));
const reserved = { remove_on_match: { key_matcher: { prefix: 'x-auth-' } } };

const samples: readonly Sample[] = [
  {
    rule: 'failure-mode-allow',
    name: 'requests that pass without an answer',
    at: /failure_mode_allow$/,
    spoil: ({ check }) => put(check, { failure_mode_allow: true }),
  },
  {
    rule: 'failure-mode-allow',
    name: 'the JSON spelling of a field',
    at: /failureModeAllow$/,
    spoil: ({ check }) => {
      Reflect.deleteProperty(check, 'failure_mode_allow');
      put(check, { failureModeAllow: true });
    },
  },
  {
    rule: 'failure-mode-header',
    name: 'the mark of an unchecked request',
    at: /failure_mode_allow_header_add$/,
    spoil: ({ check }) => put(check, { failure_mode_allow_header_add: true }),
  },
  {
    rule: 'failure-mode-allow',
    name: 'a boolean as text',
    at: /failure_mode_allow$/,
    spoil: ({ check }) => put(check, { failure_mode_allow: 'Yes' }),
    repair: ({ check }) => put(check, { failure_mode_allow: 'n' }),
  },
  {
    rule: 'shadow-mode',
    name: 'an answer that is only recorded',
    at: /http_filters\[1\]\.typed_config\.shadow_mode$/,
    spoil: ({ check }) => put(check, { shadow_mode: true }),
    repair: ({ check }) => put(check, { shadow_mode: 'false' }),
  },
  {
    rule: 'check-can-be-skipped',
    name: 'a check of some requests',
    severity: 'error',
    at: /filter_enabled$/,
    spoil: ({ check }) =>
      put(check, { filter_enabled: { default_value: { numerator: 5000, denominator: 'TEN_THOUSAND' } } }),
    repair: ({ check }) =>
      put(check, {
        filter_enabled: { default_value: { numerator: 50 } },
        deny_at_disable: { default_value: true },
      }),
  },
  {
    rule: 'check-can-be-skipped',
    name: 'a check that runtime switches off',
    severity: 'warn',
    at: /filter_enabled$/,
    spoil: ({ check }) =>
      put(check, { filter_enabled: { runtime_key: 'off', default_value: { numerator: 100 } } }),
    repair: ({ check }) =>
      put(check, { filter_enabled: { default_value: { numerator: 1_000_000, denominator: 'MILLION' } } }),
  },
  {
    rule: 'check-can-be-skipped',
    name: 'a check that metadata switches on',
    severity: 'error',
    at: /filter_enabled_metadata$/,
    spoil: ({ check }) => put(check, { filter_enabled_metadata: { filter: 'x' } }),
  },
  {
    rule: 'check-disabled-by-default',
    name: 'a filter that routes switch on',
    at: /http_filters\[1\]\.disabled$/,
    spoil: ({ filters }) => put(filters[1] as Tree, { disabled: true }),
  },
  {
    rule: 'check-disabled-by-default',
    name: 'a filter that all routes but one switch on',
    at: /http_filters\[1\]\.disabled$/,
    spoil: ({ filters, routes }) => (
      put(filters[1] as Tree, { disabled: 'true' }),
      put(routes[2] as Tree, { typed_per_filter_config: switchedOn }),
      void routes.unshift(route({ prefix: '/forgotten/' }))
    ),
  },
  {
    rule: 'check-disabled-by-default',
    name: 'a filter that a virtual host switches on, as a warning',
    severity: 'warn',
    at: /http_filters\[1\]\.disabled$/,
    spoil: ({ filters, host }) => (
      put(filters[1] as Tree, { disabled: true }),
      put(host, { typed_per_filter_config: switchedOn })
    ),
  },
  {
    rule: 'check-conditional',
    name: 'ext_authz in a matching filter',
    at: /http_filters\[1\]$/,
    spoil: ({ filters }) => {
      const inner = filters[1] as Tree;
      filters[1] = {
        name: 'curfew',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher',
          extension_config: inner,
        },
      } as unknown as Tree;
    },
  },
  {
    rule: 'check-missing',
    name: 'a listener that asks nobody',
    severity: 'error',
    at: /http_filters$/,
    spoil: ({ filters }) => void filters.splice(1, 1),
    repair: ({ filters, listener }) => (
      put(listener, { traffic_direction: 'OUTBOUND' }),
      void filters.splice(1, 1)
    ),
  },
  {
    rule: 'check-missing',
    name: 'a listener of whole paths, as a note',
    severity: 'info',
    at: /http_filters$/,
    spoil: ({ filters, routes }) => (filters.splice(1, 1), void routes.splice(1)),
    repair: ({ filters, routes }) => (
      filters.splice(1, 1),
      void routes.splice(0, routes.length, {
        match: { prefix: '/' },
        redirect: { https_redirect: true },
      } as unknown as Tree)
    ),
  },
  {
    rule: 'check-after-router',
    name: 'a check behind the end',
    at: /http_filters\[2\]$/,
    spoil: (parts) => void parts.filters.splice(1, 2, router(parts), parts.filters[1] as Tree),
  },
  {
    rule: 'upgrade-bypasses-check',
    name: 'WebSockets with filters of their own',
    at: /upgrade_configs\[0\]\.filters$/,
    spoil: (parts) =>
      put(parts.manager, { upgrade_configs: [{ upgrade_type: 'websocket', filters: [router(parts)] }] }),
    repair: (parts) =>
      put(parts.manager, {
        upgrade_configs: [{ upgrade_type: 'websocket', filters: [parts.filters[1], router(parts)] }],
      }),
  },
  {
    rule: 'answered-before-check',
    name: 'a cache ahead of the check',
    at: /http_filters\[1\]$/,
    spoil: (parts) => beforeCheck(parts, filter('cache', 'CacheConfig')),
    repair: (parts) => afterCheck(parts, filter('cache', 'CacheConfig')),
  },
  {
    rule: 'decided-before-check',
    name: 'RBAC by identity headers ahead of the check',
    at: /http_filters\[1\]$/,
    spoil: (parts) =>
      beforeCheck(
        parts,
        filter('rbac', 'RBAC', {
          rules: { policies: { a: { principals: [{ header: { name: 'X-Auth-Subject' } }] } } },
        }),
      ),
    repair: (parts) =>
      beforeCheck(
        parts,
        filter('rbac', 'RBAC', {
          rules: { policies: { a: { principals: [{ header: { name: 'x-tenant' } }] } } },
        }),
      ),
  },
  {
    rule: 'decided-before-check',
    name: "RBAC by the check's metadata ahead of it",
    at: /http_filters\[1\]$/,
    spoil: (parts) =>
      beforeCheck(
        parts,
        filter('rbac', 'RBAC', { rules: { metadata: { filter: 'envoy.filters.http.ext_authz' } } }),
      ),
  },
  {
    rule: 'route-cache-cleared',
    name: "the check's own clearing",
    at: /clear_route_cache$/,
    spoil: ({ check }) => put(check, { clear_route_cache: true }),
    repair: ({ check }) => put(check, { clear_route_cache: false }),
  },
  {
    rule: 'route-cache-cleared',
    name: 'jwt_authn that clears, after the check',
    at: /providers\.a\.clear_route_cache$/,
    spoil: (parts) =>
      afterCheck(
        parts,
        filter('jwt_authn', 'JwtAuthentication', { providers: { a: { clear_route_cache: true } } }),
      ),
    repair: (parts) =>
      beforeCheck(
        parts,
        filter('jwt_authn', 'JwtAuthentication', { providers: { a: { clear_route_cache: true } } }),
      ),
  },
  {
    rule: 'route-cache-cleared',
    name: 'a script that changes headers after the check',
    at: /http_filters\[2\]$/,
    spoil: (parts) => afterCheck(parts, filter('lua', 'Lua', script(changing))),
    repair: (parts) =>
      afterCheck(
        parts,
        filter('lua', 'Lua', script("function envoy_on_request(handle) handle:logInfo('x') end")),
      ),
  },
  {
    rule: 'route-cache-cleared',
    name: "a route's script that changes headers after the check",
    at: /http_filters\[2\]$/,
    spoil: (parts) => {
      afterCheck(parts, filter('lua', 'Lua'));
      parts.routes.unshift(
        route({ path: '/a' }, { 'envoy.filters.http.lua': { source_code: { inline_string: changing } } }),
      );
    },
    repair: (parts) => {
      afterCheck(parts, filter('lua', 'Lua'));
      parts.routes.unshift(route({ path: '/a' }, { 'envoy.filters.http.lua': { disabled: true } }));
    },
  },
  {
    rule: 'route-cache-cleared',
    name: 'a script in a file after the check',
    at: /http_filters\[2\]$/,
    spoil: (parts) =>
      afterCheck(parts, filter('lua', 'Lua', { default_source_code: { filename: '/x.lua' } })),
  },
  {
    rule: 'route-cache-cleared',
    name: 'a transcoder after the check',
    at: /http_filters\[2\]$/,
    spoil: (parts) => afterCheck(parts, filter('grpc_json_transcoder', 'GrpcJsonTranscoder')),
    repair: (parts) =>
      afterCheck(
        parts,
        filter('grpc_json_transcoder', 'GrpcJsonTranscoder', { match_incoming_request_route: true }),
      ),
  },
  {
    rule: 'route-cache-cleared',
    name: 'a processor that has it cleared',
    at: /route_cache_action$/,
    spoil: (parts) =>
      afterCheck(parts, filter('ext_proc', 'ExternalProcessor', { route_cache_action: 'CLEAR' })),
  },
  {
    rule: 'request-changed-after-check',
    name: 'a processor after the check',
    at: /http_filters\[2\]$/,
    spoil: (parts) => afterCheck(parts, filter('ext_proc', 'ExternalProcessor')),
    repair: (parts) =>
      afterCheck(
        parts,
        filter('ext_proc', 'ExternalProcessor', { processing_mode: { request_header_mode: 'SKIP' } }),
      ),
  },
  {
    rule: 'request-changed-after-check',
    name: 'a script that leaves the route',
    at: /http_filters\[2\]$/,
    spoil: (parts) =>
      afterCheck(parts, filter('lua', 'Lua', { ...script(changing), clear_route_cache: false })),
  },
  {
    rule: 'request-changed-after-check',
    name: 'WebAssembly after the check',
    at: /http_filters\[2\]$/,
    spoil: (parts) => afterCheck(parts, filter('wasm', 'Wasm')),
    repair: (parts) => afterCheck(parts, Object.assign(filter('wasm', 'Wasm'), { disabled: true })),
  },
  {
    rule: 'request-changed-after-check',
    name: 'a path written after the check',
    at: /request_mutations\[0\]$/,
    spoil: (parts) =>
      afterCheck(
        parts,
        filter('header_mutation', 'HeaderMutation', {
          mutations: { request_mutations: [{ append: { header: { key: ':path', value: '/' } } }] },
        }),
      ),
    repair: (parts) =>
      afterCheck(
        parts,
        filter('header_mutation', 'HeaderMutation', {
          mutations: { request_mutations: [{ append: { header: { key: 'x-seen', value: '1' } } }] },
        }),
      ),
  },
  {
    rule: 'request-changed-after-check',
    name: 'an identity header written after the check',
    at: /request_mutations\[0\]$/,
    spoil: (parts) =>
      afterCheck(
        parts,
        filter('header_mutation', 'HeaderMutation', {
          mutations: { request_mutations: [{ append: { header: { key: 'X-Auth-Subject', value: 'a' } } }] },
        }),
      ),
  },
  {
    rule: 'path-not-normalized',
    name: 'dot segments where routes differ',
    severity: 'error',
    at: /typed_config$/,
    spoil: ({ manager }) => put(manager, { normalize_path: false }),
  },
  {
    rule: 'path-not-normalized',
    name: 'dot segments where all is checked',
    severity: 'warn',
    at: /typed_config$/,
    spoil: ({ manager, routes }) => (routes.splice(0, 2), put(manager, { normalize_path: false })),
  },
  {
    rule: 'slashes-not-merged',
    name: 'double slashes beside a public prefix',
    severity: 'error',
    at: /typed_config$/,
    spoil: ({ routes }) => void routes.unshift(route({ prefix: '/static/' }, unchecked)),
    repair: ({ manager, routes }) => (
      put(manager, { merge_slashes: true }),
      void routes.unshift(route({ prefix: '/static/' }, unchecked))
    ),
  },
  {
    rule: 'slashes-not-merged',
    name: 'double slashes beside one checked path of an open service',
    at: /typed_config$/,
    spoil: ({ routes }) =>
      void routes.splice(0, 3, route({ path: '/admin' }), route({ prefix: '/' }, unchecked)),
    repair: ({ routes }) => void routes.splice(0, 3, route({ path: '/admin' }), route({ prefix: '/' })),
  },
  {
    rule: 'escaped-slashes-kept',
    name: 'escaped slashes beside a route with scopes',
    severity: 'error',
    at: /path_with_escaped_slashes_action$/,
    spoil: ({ routes }) =>
      void routes.unshift(
        route(
          { prefix: '/admin' },
          {
            'envoy.filters.http.ext_authz': {
              check_settings: { context_extensions: { 'curfew.scopes': 'admin' } },
            },
          },
        ),
      ),
    repair: ({ manager, routes }) => (
      put(manager, { path_with_escaped_slashes_action: 2 }),
      void routes.unshift(route({ prefix: '/static/' }, unchecked))
    ),
  },
  {
    rule: 'escaped-slashes-kept',
    name: 'escaped slashes where routes come from elsewhere',
    severity: 'warn',
    at: /path_with_escaped_slashes_action$/,
    spoil: ({ manager }) => (
      Reflect.deleteProperty(manager, 'route_config'),
      put(manager, { rds: { route_config_name: 'r' } })
    ),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'identity headers on open routes',
    severity: 'error',
    at: /typed_config$/,
    spoil: ({ filters }) => void filters.shift(),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'identity headers that the answer removes',
    severity: 'warn',
    at: /typed_config$/,
    spoil: ({ filters, routes }) => (routes.splice(0, 2), void filters.shift()),
    repair: ({ filters, routes }) => (
      routes.splice(0, 2),
      void filters.splice(0, 1, filter('lua', 'Lua', script("handle:headers():remove('x-auth-subject')")))
    ),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'identity headers that the answer is not permitted to remove',
    severity: 'error',
    at: /typed_config$/,
    spoil: ({ check, filters, routes }) => (
      put(check, { decoder_header_mutation_rules: { disallow_all: true } }),
      routes.splice(0, 2),
      void filters.shift()
    ),
    repair: ({ check }) => put(check, { decoder_header_mutation_rules: { disallow_all: true } }),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'one identity header that the answer is not permitted to remove',
    severity: 'error',
    at: /typed_config$/,
    spoil: ({ check, filters, routes }) => (
      put(check, {
        decoder_header_mutation_rules: {
          allow_expression: { regex: 'x-.*' },
          disallow_expression: { regex: 'x-auth-scopes' },
        },
      }),
      routes.splice(0, 2),
      void filters.shift()
    ),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'a check that fails where the answer may not remove identity headers',
    severity: 'warn',
    at: /typed_config$/,
    spoil: ({ check, filters, routes }) => (
      put(check, { decoder_header_mutation_rules: { disallow_all: true, disallow_is_error: true } }),
      routes.splice(0, 2),
      void filters.shift()
    ),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'identity headers that the answer removes in spite of rules for others',
    severity: 'warn',
    at: /typed_config$/,
    spoil: ({ check, filters, routes }) => (
      put(check, {
        decoder_header_mutation_rules: { disallow_all: true, allow_expression: { regex: 'x-auth-.*' } },
      }),
      routes.splice(0, 2),
      void filters.shift()
    ),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'WebSockets on open routes whose own filters keep identity headers',
    severity: 'error',
    at: /typed_config$/,
    spoil: (parts) =>
      put(parts.manager, {
        upgrade_configs: [{ upgrade_type: 'websocket', filters: [parts.filters[1], router(parts)] }],
      }),
    repair: (parts) =>
      put(parts.manager, {
        upgrade_configs: [{ upgrade_type: 'websocket', filters: parts.filters }],
      }),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'a filter that is switched off by default',
    at: /typed_config$/,
    spoil: ({ filters }) => put(filters[0] as Tree, { disabled: 'yes' }),
    repair: ({ filters, manager }) => (
      put(filters[0] as Tree, { disabled: true }),
      put(manager['route_config'] as Tree, {
        typed_per_filter_config: {
          'curfew.strip_reserved_headers': switchedOn['envoy.filters.http.ext_authz'],
        },
      })
    ),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'a public route that switches the filter off',
    severity: 'error',
    at: /typed_config$/,
    spoil: ({ routes }) =>
      void routes.unshift(route({ path: '/open' }, { ...unchecked, ...withoutStripping })),
    repair: ({ routes }) => void routes.unshift(route({ path: '/open' }, unchecked)),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'a checked route that switches the filter off',
    severity: 'warn',
    at: /typed_config$/,
    spoil: ({ routes }) => void routes.unshift(route({ path: '/checked' }, withoutStripping)),
  },
  {
    rule: 'reserved-headers-kept',
    name: 'a filter that removes them too late',
    at: /typed_config$/,
    spoil: ({ filters }) => void filters.splice(0, 2, filters[1] as Tree, filters[0] as Tree),
    repair: ({ filters, manager, strip }) => {
      put(manager, {
        early_header_mutation_extensions: [{ typed_config: { mutations: strip['request_mutations'] } }],
      });
      filters.shift();
    },
  },
  {
    rule: 'reserved-headers-kept',
    name: 'all identity headers but one',
    at: /typed_config$/,
    spoil: ({ strip }) => put(strip, { request_mutations: removing('subject', 'session', 'issuer') }),
    repair: ({ strip }) =>
      put(strip, { request_mutations: removing('subject', 'session', 'issuer', 'scopes') }),
  },
  {
    rule: 'reserved-spellings-kept',
    name: 'dots and trailers',
    at: /typed_config$/,
    spoil: ({ strip }) =>
      put(strip, {
        request_mutations: [reserved, { remove_on_match: { key_matcher: { prefix: 'x_auth_' } } }],
      }),
  },
  {
    rule: 'reserved-spellings-kept',
    name: 'trailers',
    at: /typed_config$/,
    spoil: ({ strip }) => Reflect.deleteProperty(strip, 'request_trailers_mutations'),
  },
  {
    rule: 'underscores-allowed',
    name: 'only hyphens',
    at: /typed_config$/,
    spoil: ({ strip }) => put(strip, { request_mutations: [reserved] }),
    repair: ({ strip, manager }) => (
      put(manager, { common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' } }),
      put(strip, { request_mutations: [reserved] })
    ),
  },
  {
    rule: 'credential-not-sent',
    name: 'a token that is not in the list',
    at: /allowed_headers$/,
    spoil: ({ check }) =>
      put(check, { allowed_headers: { patterns: [{ exact: 'cookie' }, { prefix: 'x-auth-' }] } }),
    repair: ({ check }) =>
      put(check, {
        allowed_headers: { patterns: [{ exact: 'Authorization', ignore_case: true }, { prefix: 'x-auth-' }] },
      }),
  },
  {
    rule: 'credential-not-sent',
    name: 'a token that is held back',
    at: /(?:dis)?allowed_headers$/,
    spoil: ({ check }) =>
      put(check, { disallowed_headers: { patterns: [{ safe_regex: { regex: '(?i)AUTH.*' } }] } }),
  },
  {
    rule: 'credential-spellings-kept',
    name: 'a spelling that neither Envoy nor the authorizer removes',
    credentials: ['x-token'],
    at: /allowed_headers$/,
    spoil: ({ check }) => put(check, { allowed_headers: { patterns: [{ exact: 'x-token' }] } }),
    repair: ({ check }) =>
      put(check, { allowed_headers: { patterns: [{ safe_regex: { regex: 'x[^a-z0-9]token' } }] } }),
  },
  {
    rule: 'credential-spellings-kept',
    name: 'a spelling with a dot',
    credentials: ['x-token'],
    at: /allowed_headers$/,
    spoil: ({ check, manager }) => (
      put(manager, { common_http_protocol_options: { headers_with_underscores_action: 'drop_header' } }),
      put(check, { allowed_headers: { patterns: [{ exact: 'x-token' }] } })
    ),
    repair: ({ check, manager, strip }) => (
      put(manager, { common_http_protocol_options: { headers_with_underscores_action: 'drop_header' } }),
      put(check, { allowed_headers: { patterns: [{ exact: 'x-token' }] } }),
      void strip['request_mutations']?.push({ remove: 'x.token' } as unknown as Tree)
    ),
  },
  {
    rule: 'reserved-headers-not-sent',
    name: 'reserved headers that nobody removes',
    at: /allowed_headers$/,
    spoil: ({ check, filters }) => (
      put(check, { allowed_headers: { patterns: [{ exact: 'authorization' }] } }),
      void filters.shift()
    ),
    repair: ({ check }) => put(check, { allowed_headers: { patterns: [{ exact: 'authorization' }] } }),
  },
  {
    rule: 'all-headers-sent',
    name: 'no list at all',
    at: /http_filters\[1\]\.typed_config$/,
    spoil: ({ check }) => Reflect.deleteProperty(check, 'allowed_headers'),
  },
  {
    rule: 'body-sent',
    name: 'the body',
    at: /with_request_body$/,
    spoil: ({ check }) => put(check, { with_request_body: { max_request_bytes: 8192 } }),
  },
  {
    rule: 'timeout-unbounded',
    name: 'ten minutes',
    at: /timeout$/,
    spoil: ({ check }) => put(check['grpc_service'] as Tree, { timeout: '600s' }),
    repair: ({ check }) => put(check['grpc_service'] as Tree, { timeout: '0.25s' }),
  },
  {
    rule: 'timeout-unbounded',
    name: "none on a route's own way of asking",
    at: /routes\[0\].*check_settings\.grpc_service\.timeout$/,
    spoil: ({ routes }) => void routes.unshift(route({ path: '/slow' }, asking('0s'))),
    repair: ({ routes }) => void routes.unshift(route({ path: '/slow' }, asking('1s'))),
  },
  {
    rule: 'timeout-unbounded',
    name: 'none',
    at: /timeout$/,
    spoil: ({ check }) => put(check['grpc_service'] as Tree, { timeout: '0s' }),
  },
  {
    rule: 'timeout-long',
    name: 'two seconds',
    at: /timeout$/,
    spoil: ({ check }) => put(check['grpc_service'] as Tree, { timeout: { seconds: 1, nanos: 1 } }),
    repair: ({ check }) => Reflect.deleteProperty(check['grpc_service'] as Tree, 'timeout'),
  },
  {
    rule: 'status-on-error',
    name: '200',
    at: /code$/,
    spoil: ({ check }) => put(check, { status_on_error: { code: 'OK' } }),
    repair: ({ check }) => put(check, { status_on_error: { code: 503 } }),
  },
  {
    rule: 'status-on-error',
    name: '401, as a number',
    at: /code$/,
    spoil: ({ check }) => put(check, { status_on_error: { code: 401 } }),
    repair: ({ check }) => put(check, { status_on_error: { code: 'Forbidden' } }),
  },
  {
    rule: 'route-unchecked',
    name: 'a second public path',
    at: /routes\[0\]\.typed_per_filter_config\["envoy\.filters\.http\.ext_authz"\]$/,
    spoil: ({ routes }) => void routes.unshift(route({ path: '/open' }, unchecked)),
    repair: ({ routes }) => void routes.splice(0, 2),
  },
  {
    rule: 'route-unchecked',
    name: 'a weighted cluster without a check',
    at: /clusters\[0\]\.typed_per_filter_config\["envoy\.filters\.http\.ext_authz"\]$/,
    spoil: ({ routes }) =>
      void routes.splice(0, 2, {
        match: { path: '/a' },
        route: {
          weighted_clusters: { clusters: [{ name: 'a', weight: 1, typed_per_filter_config: unchecked }] },
        },
      } as unknown as Tree),
    repair: ({ routes }) => void routes.splice(0, 2),
  },
  {
    rule: 'route-unchecked',
    name: 'a route that leaves the check off',
    at: /routes\[0\]$/,
    spoil: ({ filters, routes }) => (
      put(filters[1] as Tree, { disabled: true }),
      void routes.unshift(route({ path: '/forgotten' }))
    ),
    repair: ({ filters, routes }) => (
      put(filters[1] as Tree, { disabled: true }),
      void routes.unshift(route({ path: '/remembered' }, switchedOn))
    ),
  },
  {
    rule: 'route-unchecked',
    name: "a route that only switches the filter on, under its virtual host's settings",
    at: /virtual_hosts\[0\]\.routes\[0\]$/,
    spoil: ({ host, routes }) => (
      put(host, { typed_per_filter_config: unchecked }),
      void routes.unshift(route({ path: '/on' }, switchedOn))
    ),
    repair: ({ host, routes }) => (
      put(host, { typed_per_filter_config: unchecked }),
      void routes.unshift(route({ path: '/on' }, asking('1s')))
    ),
  },
  {
    rule: 'route-setting-ignored',
    name: 'scopes under a name that no filter has',
    severity: 'error',
    at: /routes\[0\]\.typed_per_filter_config\.ext_authz$/,
    spoil: ({ routes }) =>
      void routes.unshift(
        route({ prefix: '/admin' }, { ext_authz: asking('1s')['envoy.filters.http.ext_authz'] }),
      ),
    repair: ({ filters, routes }) => (
      put(filters[1] as Tree, { name: 'ext_authz' }),
      void routes.splice(
        0,
        2,
        route({ prefix: '/admin' }, { ext_authz: asking('1s')['envoy.filters.http.ext_authz'] }),
      )
    ),
  },
  {
    rule: 'route-setting-ignored',
    name: 'settings of another filter that is not there',
    severity: 'warn',
    at: /routes\[0\]\.typed_per_filter_config\["envoy\.filters\.http\.lua"\]$/,
    spoil: ({ routes }) =>
      void routes.unshift(route({ path: '/a' }, { 'envoy.filters.http.lua': { disabled: true } })),
    repair: (parts) => (
      beforeCheck(parts, filter('lua', 'Lua')),
      void parts.routes.unshift(route({ path: '/a' }, { 'envoy.filters.http.lua': { disabled: true } }))
    ),
  },
  {
    rule: 'everything-unchecked',
    name: 'the last route',
    at: /routes\[2\]/,
    spoil: ({ routes }) => put(routes[2] as Tree, { typed_per_filter_config: unchecked }),
  },
  {
    rule: 'everything-unchecked',
    name: 'a virtual host, by FilterConfig',
    at: /routes\[2\]$/,
    spoil: ({ host, routes }) => (
      Reflect.deleteProperty(routes[2] as Tree, 'typed_per_filter_config'),
      put(host, {
        typed_per_filter_config: {
          'envoy.filters.http.ext_authz': {
            '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig',
            disabled: true,
          },
        },
      })
    ),
    repair: ({ host, routes }) => (
      put(routes[2] as Tree, {
        typed_per_filter_config: { 'envoy.filters.http.ext_authz': { check_settings: {} } },
      }),
      put(host, { typed_per_filter_config: unchecked })
    ),
  },
  {
    rule: 'client-address-trusted',
    name: 'X-Forwarded-For of anyone',
    at: /use_remote_address$/,
    spoil: ({ manager }) => put(manager, { use_remote_address: false }),
    repair: ({ manager }) =>
      put(manager, { use_remote_address: false, original_ip_detection_extensions: [{ name: 'x' }] }),
  },
  {
    rule: 'internal-addresses',
    name: 'private addresses',
    at: /typed_config$/,
    spoil: ({ manager }) => Reflect.deleteProperty(manager, 'internal_address_config'),
  },
  {
    rule: 'proxies-trusted',
    name: 'trusted hops',
    at: /xff_num_trusted_hops$/,
    spoil: ({ manager }) => put(manager, { xff_num_trusted_hops: 1 }),
    repair: ({ manager }) => put(manager, { xff_num_trusted_hops: 0 }),
  },
  {
    rule: 'authorizer-in-clear',
    name: 'an authorizer elsewhere',
    at: /socket_address\.address$/,
    spoil: ({ root }) =>
      put(
        root['static_resources']?.['clusters']?.[1]?.['load_assignment']?.['endpoints']?.[0]?.[
          'lb_endpoints'
        ]?.[0]?.['endpoint'] as Tree,
        { address: { socket_address: { address: '10.0.0.9', port_value: 9001 } } },
      ),
    repair: ({ root }) =>
      put(
        root['static_resources']?.['clusters']?.[1]?.['load_assignment']?.['endpoints']?.[0]?.[
          'lb_endpoints'
        ]?.[0]?.['endpoint'] as Tree,
        { address: { socket_address: { address: '127.0.0.1', port_value: 9001 } } },
      ),
  },
  {
    rule: 'admin-public',
    name: 'the admin port for all',
    at: /admin\.address\.socket_address\.address$/,
    spoil: ({ root }) => put(root['admin']?.['address']?.['socket_address'] as Tree, { address: '0.0.0.0' }),
    repair: ({ root }) => put(root['admin'] as Tree, { address: { pipe: { path: '/run/admin' } } }),
  },
];

function lintChanged(
  change: ((parts: Parts) => unknown) | undefined,
  credentials: readonly string[] = defaultLintOptions.credentials,
): readonly Finding[] {
  const root = recommended();
  change?.(partsOf(root));
  return findingsIn(lintEnvoy([root], { ...defaultLintOptions, credentials }));
}

describe.each(samples)('$rule', ({ rule, name, severity, credentials, at, spoil, repair }) => {
  it(`finds ${name}`, () => {
    const found = lintChanged(spoil, credentials).filter((one) => one.rule === rule);
    expect(found.map((one) => one.path)).toEqual(expect.arrayContaining([expect.stringMatching(at)]));
    const here = found.find((one) => at.test(one.path));
    expect(here?.severity).toBe(severity ?? lintRules[rule].severity);
  });

  it(`finds nothing in place of ${name} when it is corrected`, () => {
    const found = lintChanged(repair, credentials).filter((one) => one.rule === rule);
    // The public path of the sample is a note by itself.
    expect(found.filter((one) => rule !== 'route-unchecked' || at.test(one.path))).toEqual([]);
  });
});

describe('the rules', () => {
  it('each have a sample', () => {
    expect(new Set(samples.map(({ rule }) => rule))).toEqual(new Set(Object.keys(lintRules)));
  });

  it('are all in the documentation, with their severity', () => {
    const text = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'envoy.md'), 'utf8');
    for (const [rule, { severity }] of Object.entries(lintRules))
      expect(text).toMatch(new RegExp(`^\\| \`${rule}\` \\| ${severity}`, 'm'));
  });
});
