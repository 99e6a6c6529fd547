import { formatDuration, parseDurationMs } from '../runtime/config-values.ts';
import type { RejectionDetail } from '../token/rejection.ts';

/** What a route asks for, beyond a valid token. */
export type RoutePolicy = RequiredRoute | OptionalRoute;

type Demands = {
  /** What must be in `aud`, instead of one of the issuer's list. */
  readonly audiences: readonly string[] | undefined;
  /** All required. */
  readonly scopes: readonly string[];
  /** Lowers the configured limit; ms. */
  readonly maxExposureMs: number | undefined;
};

export type RequiredRoute = Demands & { readonly access: 'required' };

/** Lets requests without a credential pass; a bad credential is refused all the same. */
export type OptionalRoute = Demands & { readonly access: 'optional' };

export type MisconfiguredRoute = { readonly access: 'misconfigured'; readonly detail: RejectionDetail };

export type RoutePolicies = (extensions: ReadonlyMap<string, string>) => RoutePolicy | MisconfiguredRoute;

const ourKeys = 'curfew.';
const minExposureMs = 10_000;
const maxRemembered = 1024;
// Whoever reaches the port can send settings as long as a message.
const maxRememberedLength = 8192;
const maxValueLength = 4096;

const plainRoute: RequiredRoute = {
  access: 'required',
  audiences: undefined,
  scopes: [],
  maxExposureMs: undefined,
};

/**
 * Reads what routes ask for from Envoy's `context_extensions`. Keys of other owners are passed over; an unknown key
 * of ours or a value that does not parse makes the route misconfigured, never laxer.
 * Cost: equal extensions are parsed once; up to 1024 sets are remembered. The same object, which must not change, takes one
 * look-up.
 * @param limits.maxExposureMs the configured limit, which a route may only lower; Infinity without revocation
 */
export function createRoutePolicies(limits: { readonly maxExposureMs: number }): RoutePolicies {
  const remembered = new Map<string, RoutePolicy | MisconfiguredRoute>();

  function recall(extensions: ReadonlyMap<string, string>): RoutePolicy | MisconfiguredRoute {
    const key = keyOf(extensions);
    if (key === '') return plainRoute;
    const known = remembered.get(key);
    if (known !== undefined) return known;
    const policy = parseRoutePolicy(extensions, limits.maxExposureMs);
    if (key.length > maxRememberedLength) return policy;
    if (remembered.size >= maxRemembered) remembered.clear();
    remembered.set(key, policy);
    return policy;
  }

  const ofObjects = new WeakMap<ReadonlyMap<string, string>, RoutePolicy | MisconfiguredRoute>();
  return (extensions) => {
    if (extensions.size === 0) return plainRoute;
    let policy = ofObjects.get(extensions);
    if (policy !== undefined) return policy;
    policy = recall(extensions);
    ofObjects.set(extensions, policy);
    return policy;
  };
}

/** Equal for equal settings of ours; lengths keep a value from posing as the next key. */
function keyOf(extensions: ReadonlyMap<string, string>): string {
  let key = '';
  for (const [name, value] of extensions) {
    if (isOurs(name)) key += `${name.length}:${name}${value.length}:${value}`;
  }
  return key;
}

// A key that only differs from ours by case is a mistake that would otherwise leave a route laxer than meant.
const isOurs = (name: string): boolean =>
  name.startsWith(ourKeys) || name.slice(0, ourKeys.length).toLowerCase() === ourKeys;

function parseRoutePolicy(
  extensions: ReadonlyMap<string, string>,
  maxExposureMs: number,
): RoutePolicy | MisconfiguredRoute {
  let policy: RoutePolicy = plainRoute;
  for (const [name, value] of extensions) {
    if (!isOurs(name)) continue;
    const next: RoutePolicy | string = applySetting(policy, name, value, maxExposureMs);
    if (typeof next === 'string')
      return { access: 'misconfigured', detail: { claim: name, expected: next, found: value.slice(0, 128) } };
    policy = next;
  }
  return policy;
}

/** The policy with one setting more, or what the setting should have been. */
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
      // Once each: a token keeps the policy that was opened to it last.
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

// RFC 6749 §3.3; what else it held could break out of the quoted `scope` of a challenge.
const isScope = (scope: string): boolean => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope);
