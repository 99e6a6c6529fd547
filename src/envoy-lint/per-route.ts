import { children, descendants, field, messageOf, typeOf, type Node } from './node.ts';
import { isTrue } from './values.ts';

/** What one level of the routes says of a filter: an entry of `typed_per_filter_config`. */
type Setting = {
  /** Whether the filter is in the chain of a request. */
  readonly isOn: boolean;
  /** The filter's own settings; undefined: the entry only switches it on or off. */
  readonly config: Node | undefined;
  readonly said: Node;
};

/**
 * The places that say something of a request's filters, the most specific first: weighted cluster, route, virtual
 * host, route configuration.
 */
export type Levels = readonly Node[];

/** By the name that the filter has in its list, and no other. */
const settingsAt = (levels: Iterable<Node>, filterName: string): Setting[] =>
  [...levels].flatMap((level) =>
    children(field(level, 'typed_per_filter_config'))
      .filter(({ key }) => key === filterName)
      .map(({ node }) => settingOf(node)),
  );

/** Source: envoy.config.route.v3.FilterConfig; Envoy's source/common/router/per_filter_config.cc. */
function settingOf(said: Node): Setting {
  if (typeOf(said) !== 'envoy.config.route.v3.FilterConfig')
    return { isOn: true, config: messageOf(said), said };
  if (isTrue(field(said, 'disabled'))) return { isOn: false, config: undefined, said };
  const config = field(said, 'config');
  const isEmpty = config === undefined || typeOf(config) === '';
  return { isOn: true, config: isEmpty ? undefined : messageOf(config), said };
}

/** How a filter works on the requests of a route. */
export type FilterState = {
  readonly isOn: boolean;
  /** What switched it on or off; undefined: nothing, it is as it stands in the list of filters. */
  readonly said: Node | undefined;
  /** The filter's own settings, the most specific first. */
  readonly configs: readonly Node[];
};

/**
 * Envoy looks for the switch and for the filter's settings separately: a route that only switches a filter on leaves
 * the settings of its virtual host in force.
 * @param isOnByDefault whether the list of filters has it without `disabled`
 */
export function filterState(levels: Levels, filterName: string, isOnByDefault: boolean): FilterState {
  const settings = settingsAt(levels, filterName);
  const [first] = settings;
  const configs = settings.map(({ config }) => config).filter((config) => config !== undefined);
  const isOn = first?.isOn ?? isOnByDefault;
  const [config] = configs;
  return isOn && isTrue(field(config, 'disabled'))
    ? { isOn: false, said: config, configs }
    : { isOn, said: first?.said, configs };
}

/** What any level of the routes says of a filter. @param table undefined: the routes are unknown */
export const settingsOf = (table: Node | undefined, filterName: string): Setting[] =>
  table === undefined ? [] : settingsAt(descendants(table), filterName);

/** Whether some level of the routes switches a filter on. */
export const isOnSomewhere = (table: Node | undefined, filterName: string): boolean =>
  settingsOf(table, filterName).some(({ isOn, config }) => isOn && !isTrue(field(config, 'disabled')));
