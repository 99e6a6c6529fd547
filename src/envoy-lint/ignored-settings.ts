import { children, descendants, field, items, type Node } from './node.ts';
import { httpFilter, isCheck, type HttpFilter, type Manager, type Pieces } from './pieces.ts';
import { isCheckSetting, usualCheck } from './route-policies.ts';
import { finding, type Finding } from './rules.ts';

/**
 * Settings of routes that no filter reads. Envoy looks for them by the name that a filter has in its list, and says
 * nothing of an entry under another name.
 * @param table the manager's route configuration
 */
export function lintIgnoredSettings(manager: Manager, table: Node | undefined, pieces: Pieces): Finding[] {
  if (table === undefined) return [];
  const check = manager.filters.find(isCheck);
  const own = namesIn(manager);
  // Listeners may share their routes, and differ in the filters that have nothing to do with the check.
  const all = new Set(pieces.managers.flatMap((other) => [...namesIn(other)]));
  return [...descendants(table)]
    .flatMap((node) => children(field(node, 'typed_per_filter_config')))
    .flatMap(({ key, node }) => {
      const isOfCheck = key === usualCheck.name || isCheckSetting(node);
      if (isOfCheck ? own.has(key) : all.has(key)) return [];
      const what = `no filter is named ${JSON.stringify(key)}`;
      if (!isOfCheck) return [finding('route-setting-ignored', node.path, what, 'warn')];
      return [finding('route-setting-ignored', node.path, `${what}; ${nameOf(check)}`)];
    });
}

const nameOf = (check: HttpFilter | undefined): string =>
  check === undefined ? 'there is no ext_authz filter' : `ext_authz is named ${JSON.stringify(check.name)}`;

/** With the filters that upgraded requests take instead. */
function namesIn({ config, filters }: Manager): Set<string> {
  const ofUpgrades = items(field(config, 'upgrade_configs'))
    .flatMap((upgrade) => items(field(upgrade, 'filters')))
    .map(httpFilter);
  return new Set([...filters, ...ofUpgrades].map(({ name }) => name));
}
