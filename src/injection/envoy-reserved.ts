import { Fault } from '../runtime/fault.ts';
import { typed } from './envoy-clusters.ts';
import type { EnvoyObject, TokenSource } from './envoy-options.ts';

export const defaultReservedPrefix = 'x-auth-';

/**
 * Every spelling of the reserved prefix that a service could fold together: CGI and WSGI make `-` of `_`, PHP of a
 * dot as well, and others of any punctuation. Envoy has names in lower case, and matches them whole.
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

/** The headers that tokens come in, each once. */
export const credentialHeaders = (sources: readonly TokenSource[] = defaultSources): string[] => [
  ...new Set(sources.map((source) => ('header' in source ? source.header : 'cookie'))),
];

/** The credential headers in every spelling that a service could fold into one of them. */
export const credentialNames = (sources?: readonly TokenSource[]): EnvoyObject[] => [
  ...new Map(credentialHeaders(sources).map((name) => [anySpelling(name), nameMatcher(name)])).values(),
];

const nameMatcher = (name: string): EnvoyObject =>
  /^[a-z0-9]+$/.test(name) ? { exact: name } : { safe_regex: { regex: anySpelling(name) } };

/**
 * The same without the credential headers themselves. The authorizer doesn't look for a token in these spellings, so
 * what such a header holds is unverified.
 * @throws ERR_CONFIG_INVALID
 */
export function otherSpellings(sources?: readonly TokenSource[]): EnvoyObject[] {
  const names = credentialHeaders(sources);
  names.forEach(checkLength);
  // Two sources may be spellings of each other: then both are credentials.
  return [...new Set(names.map(anySpelling))].flatMap((spelling) => {
    const alike = names.filter((name) => anySpelling(name) === spelling);
    return otherThan(alike.map((name) => name.split(/([^a-z0-9])/))).map((regex) => ({
      safe_regex: { regex },
    }));
  });
}

/** Envoy refuses a regular expression of more than 100 instructions (re2.max_program_size.error_level). */
function checkLength(name: string): void {
  const signs = name.replaceAll(/[a-z0-9]/g, '').length;
  if (signs > 0 && name.length + 3 * signs > 90)
    throw new Fault(
      'ERR_CONFIG_INVALID',
      `source ${name}: is too long for Envoy to match; each character that is no letter or digit counts four times`,
    );
}

/**
 * Regular expressions for what differs from all these names in a sign, from one of their parts on: words are at even
 * places, signs at odd ones. There is one for each sign that may be the first to differ: RE2 has no lookahead, and all
 * of them in one would soon be too large.
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
 * The filter that takes reserved headers away, for routes that never ask the authorizer too, and other spellings of
 * the credential headers. Trailers as well: some servers merge them into the headers, and no token is looked for there.
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

// Only an upgrade still has it here. A proxy behind us would drop the headers it names (RFC 9110 §7.6.1), and those
// that we set could be among them.
const plainConnection: EnvoyObject = {
  append: { header: { key: 'connection', value: 'upgrade' }, append_action: 'OVERWRITE_IF_EXISTS' },
};
