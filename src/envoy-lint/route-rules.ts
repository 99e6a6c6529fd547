import { field, type Node } from './node.ts';
import { forwardingRoutes, isWholeTable, type CheckSwitch, type Route } from './route-policies.ts';
import { finding, type Finding } from './rules.ts';
import { isEnum, isTrue } from './values.ts';

/** What the rules about a connection manager need to know of its routes. */
export type RouteFacts = {
  /** Not all routes are known. */
  readonly isPartial: boolean;
  readonly routes: readonly Route[];
  readonly hasUnchecked: boolean;
  /** Routes ask for different things. */
  readonly differ: boolean;
  /** So do such that take more than one path, or one that asks for more than the rest does. */
  readonly differByPath: boolean;
};

export function routeFacts(table: Node | undefined, check: CheckSwitch): RouteFacts {
  const routes = table === undefined ? [] : forwardingRoutes(table, check);
  const keys = new Set(routes.map(({ policy }) => policy.key));
  const differ = keys.size > 1;
  return {
    isPartial: table === undefined || !isWholeTable(table),
    routes,
    hasUnchecked: routes.some(({ policy }) => policy.kind === 'unchecked'),
    differ,
    // A public path that is matched whole opens nothing else: what is spelled otherwise is checked.
    differByPath: differ && routes.some((route) => route.match === 'some' || isStricter(route, routes)),
  };
}

/** One path is checked; spelled otherwise it falls to a route that asks for something else. */
const isStricter = ({ match, policy }: Route, routes: readonly Route[]): boolean =>
  match === 'one' &&
  policy.kind === 'checked' &&
  routes.some((other) => other.match !== 'one' && !other.isConditional && other.policy.key !== policy.key);

/** Routes that ask nobody: one finding for each place that says so. */
export function lintRoutes({ routes }: RouteFacts): Finding[] {
  const unchecked = routes.filter(({ policy }) => policy.kind === 'unchecked');
  const seen = new Set<string>();
  return unchecked.flatMap(({ node, match, isConditional, text, policy }) => {
    const path = policy.said?.path.startsWith(node.path) === true ? policy.said.path : node.path;
    if (seen.has(path)) return [];
    seen.add(path);
    if (match === 'all' && !isConditional)
      return [finding('everything-unchecked', path, 'there is no check for all other paths')];
    return [
      finding('route-unchecked', path, `no check for ${text}${isConditional ? ', on conditions' : ''}`),
    ];
  });
}

/** Whether Envoy and the service read the same path. @param manager the connection manager's configuration */
export function lintPaths(manager: Node, facts: RouteFacts): Finding[] {
  const { isPartial, differ, differByPath } = facts;
  const merged = isTrue(field(manager, 'merge_slashes'));
  const escaped = field(manager, 'path_with_escaped_slashes_action');
  const decided = isEnum(escaped, { REJECT_REQUEST: 2, UNESCAPE_AND_REDIRECT: 3, UNESCAPE_AND_FORWARD: 4 });
  const paths = differByPath || isPartial;
  const severity = differByPath ? 'error' : 'warn';
  return [
    ...(isTrue(field(manager, 'normalize_path'))
      ? []
      : [
          finding(
            'path-not-normalized',
            manager.path,
            differ ? 'dot segments are kept, and routes ask for different things' : 'dot segments are kept',
            differ ? 'error' : 'warn',
          ),
        ]),
    ...(merged || !paths
      ? []
      : [finding('slashes-not-merged', manager.path, 'double slashes are kept', severity)]),
    ...(decided || !paths
      ? []
      : [
          finding(
            'escaped-slashes-kept',
            escaped?.path ?? manager.path,
            'escaped slashes are kept',
            severity,
          ),
        ]),
  ];
}
