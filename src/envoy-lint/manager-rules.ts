import { lintIgnoredSettings } from './ignored-settings.ts';
import { lintOrder } from './order-rules.ts';
import { at, field, items, type Node } from './node.ts';
import { httpFilter, isCheck, routeTableOf, type HttpFilter, type Manager, type Pieces } from './pieces.ts';
import type { LintOptions } from './options.ts';
import { usualCheck } from './route-policies.ts';
import { lintPaths, lintRoutes, routeFacts, type RouteFacts } from './route-rules.ts';
import { finding, type Finding } from './rules.ts';
import { chainsAhead, lintAllowedHeaders, lintReserved } from './strip-rules.ts';
import { isEnum, isTrue, numberValue, textValue } from './values.ts';

/**
 * The findings in an HTTP connection manager. Source: envoy
 * …http_connection_manager.v3.HttpConnectionManager.
 */
export function lintManager(manager: Manager, pieces: Pieces, options: LintOptions): Finding[] {
  const { config, filters } = manager;
  const position = filters.findIndex(isCheck);
  const check = filters[position];
  const routeTable = routeTableOf(manager, pieces);
  const facts = routeFacts(routeTable, check ?? usualCheck);
  if (check === undefined) return lintUnchecked(manager, facts);
  const chains = chainsAhead(filters.slice(0, position), facts);
  const ofUpgrades = upgradesOf(config).flatMap(({ own }) => {
    const ownPosition = own.findIndex(isCheck);
    return ownPosition === -1 ? [] : chainsAhead(own.slice(0, ownPosition), facts);
  });
  return [
    ...lintOrder({ filters, position, prefix: options.prefix, routeTable, facts }),
    ...lintPaths(config, facts),
    ...lintReserved(
      manager,
      [...chains, ...ofUpgrades],
      check.kind === 'ext_authz' ? check.config : undefined,
      options,
    ),
    ...(check.kind === 'ext_authz' && check.config !== undefined
      ? lintAllowedHeaders(check.config, chains, options, manager)
      : []),
    ...lintClients(config),
    ...lintUpgrades(config),
    ...lintRoutes(facts),
    ...lintIgnoredSettings(manager, routeTable, pieces),
  ];
}

function lintUnchecked({ config, listener, filters }: Manager, { isPartial, routes }: RouteFacts): Finding[] {
  // Outbound requests of a sidecar's service are checked by the services that receive them.
  if (isEnum(field(listener, 'traffic_direction'), { OUTBOUND: 2 })) return [];
  if (!isPartial && routes.length === 0) return [];
  const name = textValue(field(listener, 'name'));
  const what = `${name === undefined ? 'the listener' : `listener ${JSON.stringify(name)}`} has no check`;
  const path = field(config, 'http_filters')?.path ?? config.path;
  const isNarrow = !isPartial && routes.every(({ match }) => match === 'one');
  if (isNarrow) return [finding('check-missing', path, `${what}; its routes match exact paths only`, 'info')];
  return filters.length === 0 && isPartial ? [] : [finding('check-missing', path, what)];
}

function lintClients(config: Node): Finding[] {
  const detects = items(field(config, 'original_ip_detection_extensions')).length > 0;
  const remote = field(config, 'use_remote_address');
  const hops = field(config, 'xff_num_trusted_hops');
  const trusted = numberValue(hops) ?? 0;
  return [
    ...(isTrue(remote) || detects
      ? []
      : [
          finding(
            'client-address-trusted',
            remote?.path ?? config.path,
            "the clients' X-Forwarded-For is trusted",
          ),
        ]),
    ...(isTrue(remote) && field(config, 'internal_address_config') === undefined
      ? [finding('internal-addresses', config.path, 'clients with private addresses count as internal')]
      : []),
    ...(hops !== undefined && trusted > 0
      ? [finding('proxies-trusted', hops.path, `${trusted} proxies in front are trusted`)]
      : []),
  ];
}

function lintUpgrades(config: Node): Finding[] {
  return upgradesOf(config).flatMap(({ upgrade, own }) => {
    if (own.length === 0 || own.some((filter) => isCheck(filter) && filter.isOn)) return [];
    const type = textValue(at(upgrade, 'upgrade_type')) ?? 'an upgrade';
    return [
      finding(
        'upgrade-bypasses-check',
        field(upgrade, 'filters')?.path ?? upgrade.path,
        `${type} has filters of its own, without ext_authz`,
      ),
    ];
  });
}

/** The upgrades, each with the filters of its own. Without any, the manager's filters apply. */
const upgradesOf = (config: Node): { readonly upgrade: Node; readonly own: readonly HttpFilter[] }[] =>
  items(field(config, 'upgrade_configs')).map((upgrade) => ({
    upgrade,
    own: items(field(upgrade, 'filters')).map(httpFilter),
  }));
