import { at, children, descendants, field, items, typeOf, type Node } from './node.ts';
import { filterState, type Levels } from './per-route.ts';
import { textValue } from './values.ts';

/** What a route asks of the check. */
export type RouteCheckPolicy = {
  readonly kind: 'checked' | 'unchecked';
  /** Equal for routes that ask for the same. */
  readonly key: string;
  /** Where it is said; undefined: nowhere, it is as in the list of filters. */
  readonly said: Node | undefined;
};

/** The check as it stands in the list of filters. */
export type CheckSwitch = { readonly name: string; readonly isOn: boolean };

export const usualCheck: CheckSwitch = { name: 'envoy.filters.http.ext_authz', isOn: true };

/** The check of a listener that is described elsewhere, by what its routes say. */
export const assumedCheck = (table: Node): CheckSwitch => {
  const entries = [...descendants(table)].flatMap((node) => children(field(node, 'typed_per_filter_config')));
  const found = entries.find(({ node }) => isCheckSetting(node));
  return found === undefined ? usualCheck : { name: found.key, isOn: true };
};

/** Whether an entry of `typed_per_filter_config` is for ext_authz, by its type. */
export const isCheckSetting = (entry: Node): boolean =>
  [entry, field(entry, 'config')].some((node) => typeOf(node).endsWith('.ExtAuthzPerRoute'));

export type Route = {
  readonly node: Node;
  readonly levels: Levels;
  /** How its path is matched: one path, all of them, or some. */
  readonly match: 'one' | 'all' | 'some';
  /** Whether it is chosen by more than the path. */
  readonly isConditional: boolean;
  readonly text: string;
  readonly policy: RouteCheckPolicy;
};

/** Routes that lead to a service; those that redirect or answer by themselves need no check. */
export const forwardingRoutes = (table: Node, check: CheckSwitch): Route[] =>
  items(field(table, 'virtual_hosts')).flatMap((host) =>
    items(field(host, 'routes'))
      .filter((node) => !['direct_response', 'redirect'].some((kind) => field(node, kind) !== undefined))
      .flatMap((node) => routesOf([node, host, table], check)),
  );

/** Whether the table says all there is: no other part of it comes from elsewhere, or is chosen by a matching tree. */
export const isWholeTable = (table: Node): boolean =>
  field(table, 'vhds') === undefined &&
  items(field(table, 'virtual_hosts')).every((host) => field(host, 'matcher') === undefined);

// One for each weighted cluster, which may say something of its own.
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
    ? { kind: 'checked', key: keyOf(state.configs), said: state.said }
    : { kind: 'unchecked', key: 'unchecked', said: state.said };
}

/** The context extensions of all levels, in any order. The most specific level wins. */
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
