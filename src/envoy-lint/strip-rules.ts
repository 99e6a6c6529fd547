import { at, descendants, field, items, messageOf, type Node } from './node.ts';
import { filterState } from './per-route.ts';
import { listMatchesName, matchesName, matchesRegex } from './name-match.ts';
import type { HttpFilter, Manager } from './pieces.ts';
import type { LintOptions } from './options.ts';
import type { RouteFacts } from './route-rules.ts';
import { finding, type Finding, type Severity } from './rules.ts';
import { isEnum, isTrue, textValue } from './values.ts';

/** Which spellings of the reserved names are removed before the check. */
type Stripped = {
  readonly hyphens: boolean;
  readonly underscores: boolean;
  readonly others: boolean;
  readonly trailers: boolean;
};

/** The filters before the check that are on, for some of the routes. */
type Chain = {
  readonly filters: readonly HttpFilter[];
  /** Whether requests without a check pass through it. */
  readonly isOpen: boolean;
};

/** Every chain of filters that a request can pass through. @param before the filters before the check */
export function chainsAhead(before: readonly HttpFilter[], { isPartial, routes }: RouteFacts): Chain[] {
  const found = new Map<string, Chain>();
  const add = (filters: readonly HttpFilter[], isOpen: boolean): void =>
    void found.set(`${filters.map(({ entry }) => entry.path).join()} ${isOpen}`, { filters, isOpen });
  for (const { levels, policy } of routes)
    add(
      before.filter(({ name, isOn }) => filterState(levels, name, isOn).isOn),
      policy.kind === 'unchecked',
    );
  if (isPartial || routes.length === 0)
    add(
      before.filter(({ isOn }) => isOn),
      isPartial,
    );
  return [...found.values()];
}

/**
 * Whether clients can set identity headers.
 * @param chains the filters before the check
 * @param check the configuration of the check; undefined: unknown
 */
export function lintReserved(
  manager: Manager,
  chains: readonly Chain[],
  check: Node | undefined,
  options: LintOptions,
): Finding[] {
  const { prefix, identity } = options;
  const found = chains.map(({ filters, isOpen }) => ({
    ...strippedBy(manager, filters, options),
    isOpen,
  }));
  const isAlways = (part: keyof Stripped): boolean => found.every((stripped) => stripped[part]);
  const { path } = manager.config;
  if (!isAlways('hyphens')) {
    const isOpen = found.some((stripped) => stripped.isOpen && !stripped.hyphens);
    const protectedName = identity.find((name) => isLeftByAnswer(check, name));
    const kept = (what: string, severity: Severity): Finding[] => [
      finding('reserved-headers-kept', path, `${prefix}… headers of clients ${what}`, severity),
    ];
    if (isOpen) return kept('pass on routes without a check', 'error');
    return protectedName === undefined
      ? kept('stay until the answer of the check', 'warn')
      : kept(`pass: decoder_header_mutation_rules keep the answer from removing ${protectedName}`, 'error');
  }
  return [
    ...(isAlways('underscores')
      ? []
      : [
          finding('underscores-allowed', path, `${prefix.replaceAll('-', '_')}… headers of clients are kept`),
        ]),
    ...(isAlways('others') && isAlways('trailers')
      ? []
      : [
          finding(
            'reserved-spellings-kept',
            path,
            `${isAlways('others') ? 'trailers' : 'other spellings'} of ${prefix}… are kept`,
          ),
        ]),
  ];
}

/** Whether Envoy sends the headers that the authorizer needs. @param config the configuration of the check */
export function lintAllowedHeaders(
  config: Node,
  chains: readonly Chain[],
  options: LintOptions,
  manager: Manager,
): Finding[] {
  const allowed = field(config, 'allowed_headers');
  const disallowed = field(config, 'disallowed_headers');
  const isSent = (name: string): boolean =>
    (allowed === undefined ||
      items(field(allowed, 'patterns')).length === 0 ||
      listMatchesName(allowed, name)) &&
    !listMatchesName(disallowed, name);
  const missing = options.credentials.filter((name) => !isSent(name));
  const kept = options.credentials
    .flatMap(spellingsOf)
    .filter(
      (name) => !isSent(name) && !chains.every((chain) => chain.isOpen || removes(manager, chain, name)),
    );
  const isStripped = chains.every(({ filters }) => strippedBy(manager, filters, options).hyphens);
  return [
    ...missing.map((name) =>
      finding(
        'credential-not-sent',
        (allowed ?? disallowed ?? config).path,
        `${name} is not sent to the authorizer`,
      ),
    ),
    ...(kept.length === 0
      ? []
      : [
          finding(
            'credential-spellings-kept',
            (allowed ?? disallowed ?? config).path,
            `${kept.join(', ')} of clients reach the service`,
          ),
        ]),
    ...(isStripped || options.identity.every(isSent)
      ? []
      : [
          finding(
            'reserved-headers-not-sent',
            (allowed ?? config).path,
            `${options.prefix}… headers are not sent to the authorizer`,
          ),
        ]),
  ];
}

/** Other names that many servers read as this one. */
function spellingsOf(name: string, _: number, all: readonly string[]): string[] {
  const spellings = ['-', '_', '.'].map((sign) => name.replaceAll(/[^a-z0-9]/g, sign));
  return [...new Set(spellings)].filter((spelling) => !all.includes(spelling));
}

/** Whether a header is removed before the check. */
const removes = (manager: Manager, { filters }: Chain, name: string): boolean =>
  (name.includes('_') && removesUnderscores(manager)) ||
  requestMutations(manager, filters).some((one) => removesName(one, name));

function strippedBy(
  manager: Manager,
  before: readonly HttpFilter[],
  { prefix, identity }: LintOptions,
): Stripped {
  const requests = requestMutations(manager, before);
  const trailers = before
    .filter(isMutation)
    .flatMap((one) => items(at(one.config, 'mutations', 'request_trailers_mutations')));
  const isScripted = before.some((one) => isScriptedRemoval(one, prefix));
  // Each identity header, with `sign` in place of its punctuation.
  const removesAll = (mutations: readonly Node[], sign: string): boolean =>
    identity
      .map((name) => name.replaceAll(/[^a-z0-9]/g, sign))
      .every((name) => mutations.some((one) => removesName(one, name)));
  return {
    hyphens: removesAll(requests, '-') || isScripted,
    underscores: removesAll(requests, '_') || removesUnderscores(manager),
    others: removesAll(requests, '.'),
    trailers: removesAll(trailers, '-'),
  };
}

const isMutation = ({ kind }: HttpFilter): boolean => kind === 'header_mutation';

function requestMutations({ config }: Manager, before: readonly HttpFilter[]): Node[] {
  const early = items(field(config, 'early_header_mutation_extensions')).map((one) => {
    const typed = field(one, 'typed_config');
    return typed === undefined ? undefined : messageOf(typed);
  });
  return [
    ...early.flatMap((one) => items(field(one, 'mutations'))),
    ...before.filter(isMutation).flatMap((one) => items(at(one.config, 'mutations', 'request_mutations'))),
  ];
}

const removesUnderscores = ({ config }: Manager): boolean =>
  isEnum(at(config, 'common_http_protocol_options', 'headers_with_underscores_action'), {
    REJECT_REQUEST: 1,
    DROP_HEADER: 2,
  });

/**
 * Whether Envoy ignores an answer that removes the header, and forwards what the client sent.
 * Source: envoy.config.common.mutation_rules.v3.HeaderMutationRules; Envoy's
 * source/extensions/filters/common/mutation_rules/mutation_rules.cc.
 */
function isLeftByAnswer(check: Node | undefined, name: string): boolean {
  const rules = field(check, 'decoder_header_mutation_rules');
  if (rules === undefined || isTrue(field(rules, 'disallow_is_error'))) return false;
  const matches = (kind: string): boolean => matchesRegex(textValue(at(rules, kind, 'regex')), name);
  return (
    matches('disallow_expression') || (!matches('allow_expression') && isTrue(field(rules, 'disallow_all')))
  );
}

/** Source: envoy.config.common.mutation_rules.v3.HeaderMutation. */
const removesName = (mutation: Node, name: string): boolean =>
  textValue(field(mutation, 'remove'))?.toLowerCase() === name ||
  matchesName(at(mutation, 'remove_on_match', 'key_matcher'), name);

// What a script does can't be determined. One that contains the prefix and "remove" is assumed to remove the
// headers.
const isScriptedRemoval = ({ kind, config }: HttpFilter, prefix: string): boolean =>
  kind === 'lua' &&
  config !== undefined &&
  [...descendants(config)].some(
    ({ value }) => typeof value === 'string' && value.includes(prefix) && value.includes('remove'),
  );
