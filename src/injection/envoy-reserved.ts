import { Fault } from '../runtime/fault.ts';
import { typed } from './envoy-clusters.ts';
import type { EnvoyObject } from './envoy-options.ts';

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
  return { safe_regex: { regex: `${prefix.replaceAll(/[^a-z0-9]/g, '[^a-z0-9]')}.*` } };
}

/**
 * The filter that takes reserved headers away, for routes that never ask the authorizer too. Trailers as well: some
 * servers merge them into the headers.
 */
export function stripReserved(prefix?: string): EnvoyObject {
  const removal = () => ({ remove_on_match: { key_matcher: reservedNames(prefix) } });
  return {
    name: 'curfew.strip_reserved_headers',
    typed_config: typed('envoy.extensions.filters.http.header_mutation.v3.HeaderMutation', {
      mutations: {
        request_mutations: [removal(), plainConnection],
        request_trailers_mutations: [removal()],
      },
    }),
  };
}

// Only an upgrade still has it here. A proxy behind us would drop the headers it names (RFC 9110 §7.6.1), and those
// that we set could be among them.
const plainConnection: EnvoyObject = {
  append: { header: { key: 'connection', value: 'upgrade' }, append_action: 'OVERWRITE_IF_EXISTS' },
};
