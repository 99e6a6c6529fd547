import { at, descendants, field, isEnum, items, messageOf, textOf, type Node } from './node.ts';
import { listMatchesName, matchesName } from './name-match.ts';
import type { HttpFilter, Manager } from './pieces.ts';
import type { LintOptions } from './options.ts';
import type { RouteFacts } from './route-rules.ts';
import { finding, type Finding } from './rules.ts';

/** How much of the reserved names is gone before the check. */
type Stripped = {
  readonly hyphens: boolean;
  readonly underscores: boolean;
  readonly others: boolean;
  readonly trailers: boolean;
};

/** Whether clients can write identity headers of their own. @param before the filters ahead of the check */
export function lintReserved(
  manager: Manager,
  before: readonly HttpFilter[],
  facts: RouteFacts,
  options: LintOptions,
): Finding[] {
  const { prefix } = options;
  const stripped = strippedBy(manager, before, options);
  const { path } = manager.config;
  if (!stripped.hyphens) {
    const isOpen = facts.hasUnchecked || facts.isPartial;
    return [
      finding(
        'reserved-headers-kept',
        path,
        isOpen
          ? `${prefix}… headers of clients pass on routes without a check`
          : `${prefix}… headers of clients stay until the answer of the check`,
        isOpen ? 'error' : 'warn',
      ),
    ];
  }
  return [
    ...(stripped.underscores
      ? []
      : [
          finding('underscores-allowed', path, `${prefix.replaceAll('-', '_')}… headers of clients are kept`),
        ]),
    ...(stripped.others && stripped.trailers
      ? []
      : [
          finding(
            'reserved-spellings-kept',
            path,
            `${stripped.others ? 'trailers' : 'other spellings'} of ${prefix}… are kept`,
          ),
        ]),
  ];
}

/** Whether the authorizer is shown what it decides by. @param config of the check */
export function lintAllowedHeaders(
  config: Node,
  before: readonly HttpFilter[],
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
  const isStripped = strippedBy(manager, before, options).hyphens;
  return [
    ...missing.map((name) =>
      finding(
        'credential-not-sent',
        (allowed ?? disallowed ?? config).path,
        `${name} is not sent to the authorizer`,
      ),
    ),
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

function strippedBy(
  { config }: Manager,
  before: readonly HttpFilter[],
  { prefix, identity }: LintOptions,
): Stripped {
  const early = items(field(config, 'early_header_mutation_extensions')).map((one) => {
    const typed = field(one, 'typed_config');
    return typed === undefined ? undefined : messageOf(typed);
  });
  const filters = before.filter(
    ({ kind, entry }) => kind === 'header_mutation' && field(entry, 'disabled')?.value !== true,
  );
  const requests = [
    ...early.flatMap((one) => items(field(one, 'mutations'))),
    ...filters.flatMap((one) => items(at(one.config, 'mutations', 'request_mutations'))),
  ];
  const trailers = filters.flatMap((one) => items(at(one.config, 'mutations', 'request_trailers_mutations')));
  const isScripted = before.some((one) => isScriptedRemoval(one, prefix));
  // Each of them, with another sign for its hyphens.
  const removes = (mutations: readonly Node[], sign: string): boolean =>
    identity
      .map((name) => name.replaceAll(/[^a-z0-9]/g, sign))
      .every((name) => mutations.some((one) => removesName(one, name)));
  return {
    hyphens: removes(requests, '-') || isScripted,
    underscores:
      removes(requests, '_') ||
      isEnum(at(config, 'common_http_protocol_options', 'headers_with_underscores_action'), {
        REJECT_REQUEST: 1,
        DROP_HEADER: 2,
      }),
    others: removes(requests, '.'),
    trailers: removes(trailers, '-'),
  };
}

/** Source: envoy.config.common.mutation_rules.v3.HeaderMutation. */
const removesName = (mutation: Node, name: string): boolean =>
  textOf(field(mutation, 'remove'))?.toLowerCase() === name ||
  matchesName(at(mutation, 'remove_on_match', 'key_matcher'), name);

// What a script does can't be known; one that speaks of the names and of removing is taken at its word.
const isScriptedRemoval = ({ kind, config }: HttpFilter, prefix: string): boolean =>
  kind === 'lua' &&
  config !== undefined &&
  [...descendants(config)].some(
    ({ value }) => typeof value === 'string' && value.includes(prefix) && value.includes('remove'),
  );
