import { formatDuration, parseDurationMs } from '../runtime/config-values.ts';
import type { RejectionDetail } from '../token/rejection.ts';

/** What a route requires beyond a valid token. */
export type RoutePolicy = RequiredRoute | OptionalRoute;

type Requirements = {
  /** Accepted values of `aud`, instead of the issuer's. */
  readonly audiences: readonly string[] | undefined;
  /** The token must have all of them. */
  readonly scopes: readonly string[];
  /** Lowers the configured limit; ms. */
  readonly maxExposureMs: number | undefined;
};

export type RequiredRoute = Requirements & { readonly access: 'required' };

/** Allows requests without a credential. A request with a bad credential is denied. */
export type OptionalRoute = Requirements & { readonly access: 'optional' };

export type MisconfiguredRoute = { readonly access: 'misconfigured'; readonly detail: RejectionDetail };

export type RoutePolicies = (extensions: ReadonlyMap<string, string>) => RoutePolicy | MisconfiguredRoute;

const keyPrefix = 'curfew.';
const minExposureMs = 10_000;
const maxCached = 1024;
// Every client of the port can send extensions as long as a message.
const maxCachedLength = 8192;
const maxValueLength = 4096;

const plainRoute: RequiredRoute = {
  access: 'required',
  audiences: undefined,
  scopes: [],
  maxExposureMs: undefined,
};

/**
 * Reads route policies from Envoy's `context_extensions`. Keys without our prefix are ignored. An unknown key
 * with it, or a value that can't be parsed, makes the route misconfigured, which denies its requests.
 * Cost: equal extensions are parsed once, and up to 1024 policies are cached. For an object that was passed
 * before, which must not change, one look-up.
 * @param limits.maxExposureMs the configured limit, which a route may only lower; Infinity without revocation
 */
export function createRoutePolicies(limits: { readonly maxExposureMs: number }): RoutePolicies {
  const cache = new Map<string, RoutePolicy | MisconfiguredRoute>();

  function find(extensions: ReadonlyMap<string, string>): RoutePolicy | MisconfiguredRoute {
    const key = keyOf(extensions);
    if (key === '') return plainRoute;
    const known = cache.get(key);
    if (known !== undefined) return known;
    const policy = parseRoutePolicy(extensions, limits.maxExposureMs);
    if (key.length > maxCachedLength) return policy;
    if (cache.size >= maxCached) cache.clear();
    cache.set(key, policy);
    return policy;
  }

  const byObject = new WeakMap<ReadonlyMap<string, string>, RoutePolicy | MisconfiguredRoute>();
  return (extensions) => {
    if (extensions.size === 0) return plainRoute;
    let policy = byObject.get(extensions);
    if (policy !== undefined) return policy;
    policy = find(extensions);
    byObject.set(extensions, policy);
    return policy;
  };
}

/** Equal for equal settings under our prefix. The lengths keep a value from being read as the next key. */
function keyOf(extensions: ReadonlyMap<string, string>): string {
  let key = '';
  for (const [name, value] of extensions) {
    if (hasPrefix(name)) key += `${name.length}:${name}${value.length}:${value}`;
  }
  return key;
}

// In any case: a key in the wrong case is a mistake, and ignoring it would make the route less strict than
// intended.
const hasPrefix = (name: string): boolean =>
  name.startsWith(keyPrefix) || name.slice(0, keyPrefix.length).toLowerCase() === keyPrefix;

function parseRoutePolicy(
  extensions: ReadonlyMap<string, string>,
  maxExposureMs: number,
): RoutePolicy | MisconfiguredRoute {
  let policy: RoutePolicy = plainRoute;
  for (const [name, value] of extensions) {
    if (!hasPrefix(name)) continue;
    const next: RoutePolicy | string = applySetting(policy, name, value, maxExposureMs);
    if (typeof next === 'string')
      return { access: 'misconfigured', detail: { claim: name, expected: next, found: value.slice(0, 128) } };
    policy = next;
  }
  return policy;
}

/** Adds one setting to a policy. @returns a text if the value can't be parsed: what it should have been */
function applySetting(
  policy: RoutePolicy,
  name: string,
  value: string,
  maxExposureMs: number,
): RoutePolicy | string {
  if (value.length > maxValueLength) return `at most ${maxValueLength} characters`;
  switch (name) {
    case 'curfew.access':
      if (value !== 'required' && value !== 'optional') return 'required or optional';
      return { ...policy, access: value };
    case 'curfew.audience':
      return value === '' ? 'an audience' : { ...policy, audiences: [value] };
    case 'curfew.scopes': {
      const scopes = value.split(' ').filter((scope) => scope !== '');
      if (scopes.length === 0 || !scopes.every(isScope)) return 'scopes separated by spaces';
      // Each once, so that a check does not compare a scope twice.
      return { ...policy, scopes: [...new Set(scopes)] };
    }
    case 'curfew.max-exposure': {
      const ms = parseDurationMs(value);
      if (ms === undefined || ms < minExposureMs || ms > maxExposureMs)
        return `a duration from 10s${maxExposureMs === Infinity ? '' : ` to ${formatDuration(maxExposureMs)}`}`;
      return { ...policy, maxExposureMs: ms };
    }
    default:
      return 'curfew.access, curfew.audience, curfew.scopes or curfew.max-exposure';
  }
}

// RFC 6749 §3.3: any other character could end the quoted `scope` of a challenge.
const isScope = (scope: string): boolean => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope);
