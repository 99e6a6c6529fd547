import { field, type Node } from './node.ts';
import { forwardingRoutes, isWholeTable, type CheckSwitch, type Route } from './route-policies.ts';
import { finding, type Finding } from './rules.ts';
import { isEnum, isTrue } from './values.ts';

/** The properties of the routes that the rules for a connection manager need. */
export type RouteFacts = {
  /** Whether some routes are unknown. */
  readonly isPartial: boolean;
  readonly routes: readonly Route[];
  readonly hasUnchecked: boolean;
  /** Whether routes have different policies. */
  readonly differ: boolean;
  /** Whether another spelling of a path may select a route with another policy. */
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
    // A public route with an exact path opens no other path: other spellings are checked.
    differByPath: differ && routes.some((route) => route.match === 'some' || isStricter(route, routes)),
  };
}

/**
 * Whether a route checks a single path, and another spelling of it falls through to a route with another
 * policy.
 */
const isStricter = ({ match, policy }: Route, routes: readonly Route[]): boolean =>
  match === 'one' &&
  policy.kind === 'checked' &&
  routes.some((other) => other.match !== 'one' && !other.isConditional && other.policy.key !== policy.key);

/** The routes without a check: one finding for each entry that switches it off. */
export function lintRoutes({ routes }: RouteFacts): Finding[] {
  const unchecked = routes.filter(({ policy }) => policy.kind === 'unchecked');
  const seen = new Set<string>();
  return unchecked.flatMap(({ node, match, isConditional, text, policy }) => {
    const path = policy.source?.path.startsWith(node.path) === true ? policy.source.path : node.path;
    if (seen.has(path)) return [];
    seen.add(path);
    if (match === 'all' && !isConditional)
      return [finding('everything-unchecked', path, 'all other paths have no check')];
    return [
      finding('route-unchecked', path, `no check for ${text}${isConditional ? ', under conditions' : ''}`),
    ];
  });
}

/**
 * Whether Envoy and the service read the same path.
 * @param manager the configuration of the connection manager
 */
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
            differ ? 'dot segments are kept, and routes have different policies' : 'dot segments are kept',
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
