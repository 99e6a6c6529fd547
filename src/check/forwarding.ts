import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import type { AccessToken } from '../token/access-token.ts';
import type { CredentialSource } from '../token/bearer.ts';
import { withoutCookies } from './cookies.ts';
import type { CheckRequest } from './check-request.ts';
import type { HeaderValue, UpstreamIdentity } from './decision.ts';
import { createReservedHeaders } from './reserved-headers.ts';
import { createUpstreamIdentity, type Oversize } from './upstream-identity.ts';

export type ForwardingOptions = {
  /** Reserved: every request header that folds to it is taken away; lower case, ends in a hyphen. */
  readonly prefix: string;
  /** Header name → claim name. */
  readonly headers: Readonly<Record<string, string>>;
  /** False: the upstream gets neither the headers nor the cookies that tokens are looked for in. */
  readonly forwardAuthorization: boolean;
  readonly sources: readonly CredentialSource[];
  readonly metrics: Pick<AuthorizerMetrics, 'upstreamValuesDropped'>;
};

export type Forwarded = {
  readonly kind: 'forwarded';
  readonly upstream: UpstreamIdentity;
  readonly remove: readonly string[];
};

/** What the upstream gets to see of a request. */
export type Forwarding = {
  /** For a request without an identity: everything that could pose as one. */
  removeAlways(request: CheckRequest | undefined): readonly string[];
  identityFor(request: CheckRequest, token: AccessToken): Forwarded | Oversize;
};

export function createForwarding(options: ForwardingOptions): Forwarding {
  const credentials = options.forwardAuthorization ? [] : options.sources;
  const hidden = credentials.flatMap((source) => ('header' in source ? [source.header] : []));
  const cookies = credentials.flatMap((source) => ('cookie' in source ? [source.cookie] : []));
  const names = Object.keys(options.headers);
  const reserved = createReservedHeaders({
    prefix: options.prefix,
    credentials: options.sources.flatMap((source) => ('header' in source ? [source.header] : [])),
    names: [...names, ...hidden],
  });
  const identities = createUpstreamIdentity({ ...options, hidden });
  const always = [...names, ...hidden];

  return {
    removeAlways: (request) => reserved(request, always),
    identityFor: (request, token) => {
      const identity = identities(token);
      if (identity.kind === 'oversize') return identity;
      const remove = reserved(request, identity.remove);
      const rest = cookies.length === 0 ? undefined : withoutCookies(request.headers.get('cookie'), cookies);
      if (rest === undefined) return { kind: 'forwarded', upstream: identity.upstream, remove };
      if (rest === '')
        return { kind: 'forwarded', upstream: identity.upstream, remove: [...remove, 'cookie'] };
      const set: readonly HeaderValue[] = [...identity.upstream.set, ['cookie', rest]];
      return { kind: 'forwarded', upstream: { ...identity.upstream, set }, remove };
    },
  };
}
