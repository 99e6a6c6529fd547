import { children, descendants, field, items, type Node } from './node.ts';
import { httpFilter, isCheck, type HttpFilter, type Manager, type Pieces } from './pieces.ts';
import { isCheckSetting, usualCheck } from './route-policies.ts';
import { finding, type Finding } from './rules.ts';

/**
 * Finds settings of routes that no filter reads. Envoy looks them up by the name that a filter has in its
 * list, and silently ignores an entry under another name.
 * @param table the manager's route configuration
 */
export function lintIgnoredSettings(manager: Manager, table: Node | undefined, pieces: Pieces): Finding[] {
  if (table === undefined) return [];
  const check = manager.filters.find(isCheck);
  const own = namesIn(manager);
  // Listeners may share routes although their filters differ. Only a name that no listener has is certainly
  // wrong.
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

/** The names of a manager's filters, with those that it has for upgraded requests only. */
function namesIn({ config, filters }: Manager): Set<string> {
  const ofUpgrades = items(field(config, 'upgrade_configs'))
    .flatMap((upgrade) => items(field(upgrade, 'filters')))
    .map(httpFilter);
  return new Set([...filters, ...ofUpgrades].map(({ name }) => name));
}
