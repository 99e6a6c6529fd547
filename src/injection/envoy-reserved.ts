import { Fault } from '../runtime/fault.ts';
import { typed } from './envoy-clusters.ts';
import type { EnvoyObject, TokenSource } from './envoy-options.ts';

export const defaultReservedPrefix = 'x-auth-';

/**
 * Matches every spelling of the reserved prefix that a service might read as the same header: CGI and WSGI
 * map `-` and `_` to the same character, PHP maps dots to it as well, and others map any punctuation. Envoy
 * has names in lower case, and matches the whole name.
 * @throws ERR_CONFIG_INVALID
 */
export function reservedNames(prefix = defaultReservedPrefix): EnvoyObject {
  if (!/^[a-z0-9!#$%&'*+.^_`|~-]{2,127}-$/.test(prefix))
    throw new Fault(
      'ERR_CONFIG_INVALID',
      'reservedPrefix: must be a header name in lower case that ends in a hyphen',
    );
  return { safe_regex: { regex: `${anySpelling(prefix)}.*` } };
}

export const defaultSources: readonly TokenSource[] = [{ header: 'authorization' }];

/** The names of the headers that may contain a token, each once. */
export const credentialHeaders = (sources: readonly TokenSource[] = defaultSources): string[] => [
  ...new Set(sources.map((source) => ('header' in source ? source.header : 'cookie'))),
];

/** The credential headers, in every spelling that a service might read as one of them. */
export const credentialNames = (sources?: readonly TokenSource[]): EnvoyObject[] => [
  ...new Map(credentialHeaders(sources).map((name) => [anySpelling(name), nameMatcher(name)])).values(),
];

const nameMatcher = (name: string): EnvoyObject =>
  /^[a-z0-9]+$/.test(name) ? { exact: name } : { safe_regex: { regex: anySpelling(name) } };

/**
 * The same spellings without the credential headers themselves. The authorizer doesn't look for tokens in
 * these headers, so their values are unverified.
 * @throws ERR_CONFIG_INVALID
 */
export function otherSpellings(sources?: readonly TokenSource[]): EnvoyObject[] {
  const names = credentialHeaders(sources);
  names.forEach(checkLength);
  // Two sources may be spellings of each other. Then both are credential headers.
  return [...new Set(names.map(anySpelling))].flatMap((spelling) => {
    const alike = names.filter((name) => anySpelling(name) === spelling);
    return otherThan(alike.map((name) => name.split(/([^a-z0-9])/))).map((regex) => ({
      safe_regex: { regex },
    }));
  });
}

/** Envoy rejects a regular expression of more than 100 instructions (re2.max_program_size.error_level). */
function checkLength(name: string): void {
  const signs = name.replaceAll(/[a-z0-9]/g, '').length;
  if (signs > 0 && name.length + 3 * signs > 90)
    throw new Fault(
      'ERR_CONFIG_INVALID',
      `source ${name}: is too long for Envoy to match; each character other than a letter or digit counts four times`,
    );
}

/**
 * Regular expressions that match every spelling except the given names. A name is split into words (at even
 * indexes) and the signs between them (at odd indexes). RE2 has no lookahead, so there is an expression for
 * each sign that may be the first to differ; a single expression for all would exceed Envoy's limit.
 * @param at the index from which on spellings may differ
 */
function otherThan(names: readonly (readonly string[])[], at = 0): string[] {
  const [name = []] = names;
  if (at >= name.length) return [];
  if (at % 2 === 0) return otherThan(names, at + 1).map((rest) => `${name[at]}${rest}`);
  const signs = [...new Set(names.map((one) => one[at] ?? ''))];
  const another = `[^a-z0-9${signs.map(inClass).join('')}]${anySpelling(name.slice(at + 1).join(''))}`;
  const same = signs.flatMap((sign) =>
    otherThan(
      names.filter((one) => one[at] === sign),
      at + 1,
    ).map((rest) => `[${inClass(sign)}]${rest}`),
  );
  return [another, ...same];
}

const anySpelling = (name: string): string => name.replaceAll(/[^a-z0-9]/g, '[^a-z0-9]');
const inClass = (sign: string): string => (/[\\\]^-]/.test(sign) ? `\\${sign}` : sign);

/**
 * The filter that removes reserved headers and other spellings of the credential headers, on routes without a
 * check, too. It also removes them from trailers: some servers merge trailers into the headers, and the
 * authorizer never sees them.
 */
export function stripReserved(prefix?: string, sources?: readonly TokenSource[]): EnvoyObject {
  const removal = (matcher: EnvoyObject) => ({ remove_on_match: { key_matcher: matcher } });
  return {
    name: 'curfew.strip_reserved_headers',
    typed_config: typed('envoy.extensions.filters.http.header_mutation.v3.HeaderMutation', {
      mutations: {
        request_mutations: [
          ...[reservedNames(prefix), ...otherSpellings(sources)].map(removal),
          plainConnection,
        ],
        request_trailers_mutations: [reservedNames(prefix), ...credentialNames(sources)].map(removal),
      },
    }),
  };
}

// At this point only an upgrade request still has a Connection header. A proxy behind Envoy would remove the
// headers that it names (RFC 9110 §7.6.1), and a client could name the identity headers.
const plainConnection: EnvoyObject = {
  append: { header: { key: 'connection', value: 'upgrade' }, append_action: 'OVERWRITE_IF_EXISTS' },
};
