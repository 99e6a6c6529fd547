import { at, children, field, isTrue, items, textOf, typeOf, type Node } from './node.ts';

/** What a route asks of the check. */
export type RoutePolicy = {
  readonly kind: 'checked' | 'unchecked';
  /** Equal for routes that ask for the same. */
  readonly key: string;
  /** Where it is said; undefined: nowhere, the filter's own configuration holds. */
  readonly said: Node | undefined;
};

export type Route = {
  readonly node: Node;
  /** How its path is matched: one path, all of them, or some. */
  readonly match: 'one' | 'all' | 'some';
  /** Whether it is chosen by more than the path. */
  readonly isConditional: boolean;
  readonly text: string;
  readonly policy: RoutePolicy;
};

const byDefault: RoutePolicy = { kind: 'checked', key: '', said: undefined };

/** Routes that lead to a service; those that redirect or answer by themselves need no check. */
export function forwardingRoutes(table: Node, checkName: string): Route[] {
  const outer = policyAt(table, checkName) ?? byDefault;
  return items(field(table, 'virtual_hosts')).flatMap((host) => {
    const inherited = policyAt(host, checkName) ?? outer;
    return items(field(host, 'routes'))
      .filter((node) => !['direct_response', 'redirect'].some((kind) => field(node, kind) !== undefined))
      .flatMap((node) => routesOf(node, checkName, inherited));
  });
}

/** Whether the table says all there is: no other part of it comes from elsewhere, or is chosen by a matching tree. */
export const isWholeTable = (table: Node): boolean =>
  field(table, 'vhds') === undefined &&
  items(field(table, 'virtual_hosts')).every((host) => field(host, 'matcher') === undefined);

// One for each weighted cluster that says something of its own.
function routesOf(node: Node, checkName: string, inherited: RoutePolicy): Route[] {
  const own = policyAt(node, checkName) ?? inherited;
  const weighted = items(at(node, 'route', 'weighted_clusters', 'clusters'))
    .map((cluster) => policyAt(cluster, checkName))
    .filter((policy) => policy !== undefined);
  const match = field(node, 'match');
  const described = {
    node,
    match: matchOf(match),
    isConditional: [
      'headers',
      'query_parameters',
      'cookies',
      'grpc',
      'runtime_fraction',
      'dynamic_metadata',
      'tls_context',
      'filter_state',
    ].some((kind) => field(match, kind) !== undefined),
    text: describe(match),
  };
  return [own, ...weighted].map((policy) => Object.assign({ policy }, described));
}

function matchOf(match: Node | undefined): Route['match'] {
  if (field(match, 'path') !== undefined) return 'one';
  const prefix = textOf(field(match, 'prefix'));
  if (prefix === '/' || prefix === '') return 'all';
  const regex = textOf(at(match, 'safe_regex', 'regex'));
  return regex === '.*' || regex === '/.*' ? 'all' : 'some';
}

const describe = (match: Node | undefined): string => {
  const kinds = ['path', 'prefix', 'path_separated_prefix'].map((kind) => ({
    kind,
    text: textOf(field(match, kind)),
  }));
  const plain = kinds.find(({ text }) => text !== undefined);
  if (plain !== undefined) return `${plain.kind} ${JSON.stringify(plain.text)}`;
  const regex = textOf(at(match, 'safe_regex', 'regex'));
  return regex === undefined ? 'other requests' : `paths like ${JSON.stringify(regex)}`;
};

// A route's configuration goes by the name of the filter; without one there, by the extension's.
function policyAt(node: Node, checkName: string): RoutePolicy | undefined {
  const all = children(field(node, 'typed_per_filter_config'));
  const said =
    all.find(({ key }) => key === checkName) ??
    all.find(({ node: one, key }) => key === 'envoy.filters.http.ext_authz' || isPerRoute(one));
  if (said === undefined) return undefined;
  const outer = said.node;
  const inner = typeOf(outer) === 'envoy.config.route.v3.FilterConfig' ? field(outer, 'config') : outer;
  if (isTrue(field(outer, 'disabled')) || isTrue(field(inner, 'disabled')))
    return { kind: 'unchecked', key: 'unchecked', said: outer };
  return { kind: 'checked', key: keyOf(inner), said: outer };
}

const isPerRoute = (node: Node): boolean => typeOf(node).endsWith('.ExtAuthzPerRoute');

/** The context extensions, in any order. */
const keyOf = (policy: Node | undefined): string =>
  children(at(policy, 'check_settings', 'context_extensions'))
    .map(({ key, node }) => `${key}=${String(node.value)}`)
    .toSorted()
    .join('\n');
