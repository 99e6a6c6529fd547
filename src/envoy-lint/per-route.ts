import { children, descendants, field, messageOf, typeOf, type Node } from './node.ts';
import { isTrue } from './values.ts';

/** The setting of a filter at one level of the routes: an entry of `typed_per_filter_config`. */
type Setting = {
  /** Whether the filter is on for a request. */
  readonly isOn: boolean;
  /** The filter's own settings. Undefined: the entry only switches the filter on or off. */
  readonly config: Node | undefined;
  readonly source: Node;
};

/**
 * The levels with settings for the filters of a request, the most specific first: weighted cluster, route,
 * virtual host, route configuration.
 */
export type Levels = readonly Node[];

/** The settings under the name that the filter has in its list. */
const settingsAt = (levels: Iterable<Node>, filterName: string): Setting[] =>
  [...levels].flatMap((level) =>
    children(field(level, 'typed_per_filter_config'))
      .filter(({ key }) => key === filterName)
      .map(({ node }) => settingOf(node)),
  );

/** Source: envoy.config.route.v3.FilterConfig; Envoy's source/common/router/per_filter_config.cc. */
function settingOf(entry: Node): Setting {
  if (typeOf(entry) !== 'envoy.config.route.v3.FilterConfig')
    return { isOn: true, config: messageOf(entry), source: entry };
  if (isTrue(field(entry, 'disabled'))) return { isOn: false, config: undefined, source: entry };
  const config = field(entry, 'config');
  const isEmpty = config === undefined || typeOf(config) === '';
  return { isOn: true, config: isEmpty ? undefined : messageOf(config), source: entry };
}

/** The state of a filter on a route. */
export type FilterState = {
  readonly isOn: boolean;
  /** The entry that switched it on or off. Undefined: no entry, so the list of filters decides. */
  readonly source: Node | undefined;
  /** The filter's own settings, the most specific first. */
  readonly configs: readonly Node[];
};

/**
 * Envoy looks for the switch and for the filter's settings separately. If a route only switches a filter on,
 * the settings of its virtual host still apply.
 * @param isOnByDefault whether the filter is in the list without `disabled`
 */
export function filterState(levels: Levels, filterName: string, isOnByDefault: boolean): FilterState {
  const settings = settingsAt(levels, filterName);
  const [first] = settings;
  const configs = settings.map(({ config }) => config).filter((config) => config !== undefined);
  const isOn = first?.isOn ?? isOnByDefault;
  const [config] = configs;
  return isOn && isTrue(field(config, 'disabled'))
    ? { isOn: false, source: config, configs }
    : { isOn, source: first?.source, configs };
}

/** The settings of a filter at all levels of the routes. @param table undefined: the routes are unknown */
export const settingsOf = (table: Node | undefined, filterName: string): Setting[] =>
  table === undefined ? [] : settingsAt(descendants(table), filterName);

/** Whether some level of the routes switches a filter on. */
export const isOnSomewhere = (table: Node | undefined, filterName: string): boolean =>
  settingsOf(table, filterName).some(({ isOn, config }) => isOn && !isTrue(field(config, 'disabled')));
