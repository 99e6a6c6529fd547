import { at, descendants, field, items, messageOf, typeOf, type Node } from './node.ts';
import { isTrue, textValue } from './values.ts';

/** An HTTP filter in the list of a connection manager. */
export type HttpFilter = {
  readonly entry: Node;
  readonly name: string;
  /** False: `disabled`, so that only the routes that name the filter have it. */
  readonly isOn: boolean;
  /** The last part of the extension's name: `ext_authz`, `lua`, `router`. */
  readonly kind: string;
  readonly config: Node | undefined;
};

/** An HTTP connection manager, and the listener around it. */
export type Manager = {
  readonly config: Node;
  readonly listener: Node | undefined;
  readonly filters: readonly HttpFilter[];
};

/** The parts of the documents that concern the check. */
export type Pieces = {
  readonly managers: readonly Manager[];
  /** Every ext_authz configuration, also outside of connection managers. */
  readonly checks: readonly Node[];
  /** The settings of routes for the call to the authorizer: `check_settings`. */
  readonly overrides: readonly Node[];
  readonly routeTables: readonly Node[];
  /** By name. */
  readonly clusters: ReadonlyMap<string, Node>;
  readonly admins: readonly Node[];
};

const managerType = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
export const checkType = 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz';

/** More nodes than any Envoy runs with. Aliases may turn a small file into a large tree. */
const maxNodes = 3_000_000;

/**
 * Searches whole documents, whatever is around the parts.
 * @returns undefined if the documents are too large
 */
export function findPieces(documents: readonly Node[]): Pieces | undefined {
  const pieces = {
    managers: [] as Manager[],
    checks: [] as Node[],
    overrides: [] as Node[],
    routeTables: [] as Node[],
    clusters: new Map<string, Node>(),
    admins: [] as Node[],
  };
  let nodes = 0;
  for (const document of documents) {
    let listener: Node | undefined;
    for (const node of descendants(document, repeated(document))) {
      nodes += 1;
      if (nodes > maxNodes) return undefined;
      if (typeof node.value !== 'object' || node.value === null) continue;
      if (isListener(node)) listener = node;
      const clusterName = clusterNameOf(node);
      if (clusterName !== undefined) pieces.clusters.set(clusterName, node);
      if (isAdmin(node)) pieces.admins.push(node);
      if (field(node, 'virtual_hosts') !== undefined) pieces.routeTables.push(node);
      const config = messageOf(node);
      switch (typeOf(node)) {
        case checkType:
          pieces.checks.push(config);
          break;
        case `${checkType}PerRoute`:
          pieces.overrides.push(field(config, 'check_settings') ?? config);
          break;
        case managerType:
          pieces.managers.push(managerOf(config, listener));
          break;
      }
    }
  }
  return pieces;
}

const managerOf = (config: Node, listener: Node | undefined): Manager => ({
  config,
  // The last listener that began before the manager, if the manager is inside it.
  listener: listener !== undefined && config.path.startsWith(listener.path) ? listener : undefined,
  filters: items(field(config, 'http_filters')).map(httpFilter),
});

export function httpFilter(entry: Node): HttpFilter {
  const name = textValue(field(entry, 'name')) ?? '';
  const typed = field(entry, 'typed_config') ?? at(entry, 'config_discovery', 'default_config');
  const type = typeOf(typed);
  const kind =
    /\.filters\.http\.(\w+)\./.exec(type)?.[1] ?? /^envoy\.filters\.http\.(\w+)$/.exec(name)?.[1] ?? '';
  const isOn = !isTrue(field(entry, 'disabled'));
  return { entry, name, kind, isOn, config: typed === undefined ? undefined : messageOf(typed) };
}

const isListener = (node: Node): boolean =>
  field(node, 'filter_chains') !== undefined || field(node, 'default_filter_chain') !== undefined;

const clusterNameOf = (node: Node): string | undefined =>
  field(node, 'load_assignment') === undefined ? undefined : textValue(field(node, 'name'));

const isAdmin = (node: Node): boolean =>
  /(?:^|\.)admin$/.test(node.path) && field(node, 'address') !== undefined;

// A /config_dump contains static listeners and their routes twice, and listeners that are draining.
function repeated(document: Node): (node: Node) => boolean {
  const dumps = items(field(document, 'configs')).map((node) => typeOf(node));
  if (!dumps.some((type) => type.startsWith('envoy.admin.'))) return () => false;
  const hasListeners = dumps.some((type) => type.endsWith('.ListenersConfigDump'));
  const twice = /configs\[\d+\]\.(?:bootstrap\.static_resources\.listeners|static_route_configs)$/;
  return ({ path }) => path.endsWith('.draining_state') || (hasListeners && twice.test(path));
}

/** The route configuration of a connection manager; undefined if it isn't in the documents. */
export function routeTableOf({ config }: Manager, { routeTables }: Pieces): Node | undefined {
  const own = field(config, 'route_config');
  if (own !== undefined) return own;
  const name = textValue(at(config, 'rds', 'route_config_name'));
  if (name === undefined) return undefined;
  return routeTables.find((table) => textValue(field(table, 'name')) === name);
}

/** Whether the filter is ext_authz, or contains it. */
export const isCheck = ({ kind, config }: HttpFilter): boolean =>
  kind === 'ext_authz' || (config !== undefined && holdsCheck(config));

const holdsCheck = (config: Node): boolean =>
  [...descendants(config)].some((node) => typeOf(node) === checkType);
