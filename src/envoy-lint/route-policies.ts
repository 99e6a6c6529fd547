import { at, children, descendants, field, items, typeOf, type Node } from './node.ts';
import { filterState, type Levels } from './per-route.ts';
import { textValue } from './values.ts';

/** Whether a route has the check, and what it requires of it. */
export type RouteCheckPolicy = {
  readonly kind: 'checked' | 'unchecked';
  /** Equal for routes with the same requirements. */
  readonly key: string;
  /** The entry that decides it. Undefined: no entry, so the list of filters decides. */
  readonly source: Node | undefined;
};

/** The check in the list of filters. */
export type CheckSwitch = { readonly name: string; readonly isOn: boolean };

export const usualCheck: CheckSwitch = { name: 'envoy.filters.http.ext_authz', isOn: true };

/** The check of a listener in another document, inferred from its routes. */
export const assumedCheck = (table: Node): CheckSwitch => {
  const entries = [...descendants(table)].flatMap((node) => children(field(node, 'typed_per_filter_config')));
  const found = entries.find(({ node }) => isCheckSetting(node));
  return found === undefined ? usualCheck : { name: found.key, isOn: true };
};

/** Whether the type of an entry of `typed_per_filter_config` is that of ext_authz. */
export const isCheckSetting = (entry: Node): boolean =>
  [entry, field(entry, 'config')].some((node) => typeOf(node).endsWith('.ExtAuthzPerRoute'));

export type Route = {
  readonly node: Node;
  readonly levels: Levels;
  /** The paths that it matches: a single one, all, or some. */
  readonly match: 'one' | 'all' | 'some';
  /** Whether it matches by more than the path. */
  readonly isConditional: boolean;
  readonly text: string;
  readonly policy: RouteCheckPolicy;
};

/** The routes that lead to a service. Those that redirect or respond directly need no check. */
export const forwardingRoutes = (table: Node, check: CheckSwitch): Route[] =>
  items(field(table, 'virtual_hosts')).flatMap((host) =>
    items(field(host, 'routes'))
      .filter((node) => !['direct_response', 'redirect'].some((kind) => field(node, kind) !== undefined))
      .flatMap((node) => routesOf([node, host, table], check)),
  );

/** Whether all routes are in the table: none comes from VHDS, or is selected by a matching tree. */
export const isWholeTable = (table: Node): boolean =>
  field(table, 'vhds') === undefined &&
  items(field(table, 'virtual_hosts')).every((host) => field(host, 'matcher') === undefined);

// A route for each weighted cluster, because each may have settings of its own.
function routesOf(levels: readonly [Node, Node, Node], check: CheckSwitch): Route[] {
  const [node] = levels;
  const clusters = items(at(node, 'route', 'weighted_clusters', 'clusters'));
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
  const variants: Levels[] =
    clusters.length === 0 ? [levels] : clusters.map((cluster) => [cluster].concat(levels));
  return variants.map((variant) =>
    Object.assign({ levels: variant, policy: policyOf(variant, check) }, described),
  );
}

function matchOf(match: Node | undefined): Route['match'] {
  if (field(match, 'path') !== undefined) return 'one';
  const prefix = textValue(field(match, 'prefix'));
  if (prefix === '/' || prefix === '') return 'all';
  const regex = textValue(at(match, 'safe_regex', 'regex'));
  return regex === '.*' || regex === '/.*' ? 'all' : 'some';
}

const describe = (match: Node | undefined): string => {
  const kinds = ['path', 'prefix', 'path_separated_prefix'].map((kind) => ({
    kind,
    text: textValue(field(match, kind)),
  }));
  const plain = kinds.find(({ text }) => text !== undefined);
  if (plain !== undefined) return `${plain.kind} ${JSON.stringify(plain.text)}`;
  const regex = textValue(at(match, 'safe_regex', 'regex'));
  return regex === undefined ? 'other requests' : `paths like ${JSON.stringify(regex)}`;
};

function policyOf(levels: Levels, { name, isOn }: CheckSwitch): RouteCheckPolicy {
  const state = filterState(levels, name, isOn);
  return state.isOn
    ? { kind: 'checked', key: keyOf(state.configs), source: state.source }
    : { kind: 'unchecked', key: 'unchecked', source: state.source };
}

/** The context extensions of all levels, sorted. The most specific level takes precedence. */
function keyOf(configs: readonly Node[]): string {
  const extensions = configs
    .toReversed()
    .flatMap((config) => children(at(config, 'check_settings', 'context_extensions')))
    .map(({ key, node }) => [key, String(node.value)] as const);
  return [...new Map(extensions)]
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join('\n');
}
