import { at, descendants, field, items, type Node } from './node.ts';
import { isOnSomewhere, settingsOf } from './per-route.ts';
import { isCheck, type HttpFilter } from './pieces.ts';
import type { RouteFacts } from './route-rules.ts';
import { finding, type Finding } from './rules.ts';
import { booleanValue, isEnum, isTrue, textValue } from './values.ts';

export type FilterOrder = {
  readonly filters: readonly HttpFilter[];
  /** The index of the check among them. */
  readonly position: number;
  readonly prefix: string;
  readonly routeTable: Node | undefined;
  readonly facts: RouteFacts;
};

/** The findings in the order of the filters. */
export function lintOrder({ filters, position, prefix, routeTable, facts }: FilterOrder): Finding[] {
  const router = filters.findIndex(({ kind }) => kind === 'router');
  const check = filters[position];
  const isOff = ({ isOn, name }: HttpFilter): boolean => !isOn && !isOnSomewhere(routeTable, name);
  const active = (some: readonly HttpFilter[]): HttpFilter[] => some.filter((filter) => !isOff(filter));
  return [
    ...(check === undefined ? [] : lintPlace(check, facts)),
    ...(router !== -1 && router < position && check !== undefined
      ? [finding('check-after-router', check.entry.path, 'ext_authz comes after the router')]
      : []),
    ...active(filters.slice(0, position)).flatMap((filter) => lintBefore(filter, prefix)),
    ...active(filters.slice(position + 1)).flatMap((filter) => lintAfter(filter, prefix, routeTable)),
  ];
}

function lintPlace({ entry, kind, isOn }: HttpFilter, facts: RouteFacts): Finding[] {
  return [
    ...(isOn ? [] : [lintDisabled(field(entry, 'disabled') ?? entry, facts)]),
    ...(kind === 'ext_authz'
      ? []
      : [
          finding(
            'check-conditional',
            entry.path,
            `ext_authz is inside ${kind === '' ? 'another filter' : kind}`,
          ),
        ]),
  ];
}

function lintDisabled({ path }: Node, { isPartial, routes }: RouteFacts): Finding {
  const open = routes.filter(({ policy }) => policy.kind === 'unchecked' && policy.source === undefined);
  const [first] = open;
  if (first !== undefined) {
    const others = open.length === 1 ? '' : `, nor for ${open.length - 1} other routes`;
    return finding('check-disabled-by-default', path, `it is not switched on for ${first.text}${others}`);
  }
  const isOnEverywhere = !isPartial && routes.length > 0;
  return finding(
    'check-disabled-by-default',
    path,
    'only routes that switch it on are checked',
    isOnEverywhere ? 'warn' : 'error',
  );
}

const answering: ReadonlySet<string> = new Set(['cache', 'cache_v2', 'file_server', 'aws_lambda']);
const deciding: ReadonlySet<string> = new Set([
  'rbac',
  'header_to_metadata',
  'set_filter_state',
  'ratelimit',
  'local_ratelimit',
]);

function lintBefore({ entry, kind, config }: HttpFilter, prefix: string): Finding[] {
  if (answering.has(kind))
    return [finding('answered-before-check', entry.path, `${kind} may answer before the check`)];
  if (deciding.has(kind) && mentionsIdentity(config, prefix))
    return [finding('decided-before-check', entry.path, `${kind} reads what only the check will set`)];
  return [];
}

const mentionsIdentity = (config: Node | undefined, prefix: string): boolean =>
  config !== undefined &&
  [...descendants(config)].some(
    ({ value }) =>
      typeof value === 'string' &&
      (value.toLowerCase().startsWith(prefix) || value === 'envoy.filters.http.ext_authz'),
  );

// Filters that change requests, or may change them, in ways that the configuration doesn't show.
const opaque: ReadonlySet<string> = new Set([
  'wasm',
  'dynamic_modules',
  'golang',
  'ip_tagging',
  'grpc_json_reverse_transcoder',
]);

function lintAfter(filter: HttpFilter, prefix: string, routeTable: Node | undefined): Finding[] {
  const { entry, kind, config, name } = filter;
  // The check's own clear_route_cache is found by check-rules.ts.
  if (isCheck(filter)) return [];
  const flag = config === undefined ? undefined : [...descendants(config)].find(isClearing);
  if (flag !== undefined)
    return [finding('route-cache-cleared', flag.path, `${kind} clears the route cache after the check`)];
  switch (kind) {
    case 'lua':
      return lintLua(
        filter,
        settingsOf(routeTable, name).map(({ source }) => source),
      );
    case 'grpc_json_transcoder':
      if (isTrue(field(config, 'match_incoming_request_route'))) return [];
      return [
        finding(
          'route-cache-cleared',
          entry.path,
          'the transcoder changes the path after the check, and Envoy routes by the new path',
        ),
      ];
    case 'ext_proc':
      return lintProcessor(filter);
    case 'header_mutation':
      return lintMutations(config, prefix);
    default:
      if (!opaque.has(kind)) return [];
      return [
        finding(
          'request-changed-after-check',
          entry.path,
          `${kind} may change the request after the check, or have it routed again`,
        ),
      ];
  }
}

const isClearing = (node: Node): boolean =>
  /(?:^|\.)(?:clear_route_cache|clearRouteCache)$/.test(node.path) && isTrue(node);

const changesHeaders = /:\s*(?:add|replace|remove)\s*\(|clearRouteCache/;

// Envoy routes the request again after a script has changed its headers, unless clear_route_cache is false.
function lintLua({ entry, config }: HttpFilter, perRoute: readonly Node[]): Finding[] {
  const configs = config === undefined ? perRoute : [config, ...perRoute];
  const nodes = configs.flatMap((one) => Array.from(descendants(one)));
  const isInFile = nodes.some((node) => field(node, 'filename') !== undefined);
  const keeps = booleanValue(field(config, 'clear_route_cache')) === false;
  const mayChange = isInFile || nodes.some((node) => changesHeaders.test(textValue(node) ?? ''));
  if (!mayChange) return [];
  if (!keeps)
    return [
      finding(
        'route-cache-cleared',
        entry.path,
        'a script changes headers after the check, and Envoy routes again',
      ),
    ];
  return [finding('request-changed-after-check', entry.path, 'a script changes headers after the check')];
}

/** Source: envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor. */
function lintProcessor({ entry, config }: HttpFilter): Finding[] {
  const action = field(config, 'route_cache_action');
  if (isEnum(action, { CLEAR: 1 }))
    return [
      finding(
        'route-cache-cleared',
        action?.path ?? entry.path,
        'the processor has the request routed again after the check',
      ),
    ];
  const keeps = isEnum(action, { RETAIN: 2 }) || isTrue(field(config, 'disable_clear_route_cache'));
  const seesRequest = !isEnum(at(config, 'processing_mode', 'request_header_mode'), { SKIP: 2 });
  if (keeps || !seesRequest) return [];
  return [
    finding(
      'request-changed-after-check',
      entry.path,
      'the processor may change the request, and have it routed again, after the check',
    ),
  ];
}

function lintMutations(config: Node | undefined, prefix: string): Finding[] {
  return items(at(config, 'mutations', 'request_mutations')).flatMap((node) => {
    const name = (
      textValue(field(node, 'remove')) ??
      textValue(at(node, 'append', 'header', 'key')) ??
      ''
    ).toLowerCase();
    const matters = name.startsWith(':') || name === 'host' || name.startsWith(prefix);
    return matters
      ? [finding('request-changed-after-check', node.path, `${name} changes after the check`)]
      : [];
  });
}
