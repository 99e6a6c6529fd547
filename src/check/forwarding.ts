import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import type { AccessToken } from '../token/access-token.ts';
import type { CredentialSource } from '../token/credential.ts';
import { withoutCookies } from './cookies.ts';
import type { CheckRequest } from './check-request.ts';
import { allow, type Allow, type HeaderValue } from './decision.ts';
import { createReservedHeaders } from './reserved-headers.ts';
import type { TokenMemo } from './token-memo.ts';
import { createUpstreamIdentity, type Oversize } from './upstream-identity.ts';

export type ForwardingOptions = {
  /**
   * Reserved prefix: every request header whose name folds to it is removed. Lower case, ends in a hyphen.
   */
  readonly prefix: string;
  /** Header name → claim name. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * False: the headers and cookies that may carry a token are removed before the request goes to the
   * upstream.
   */
  readonly forwardAuthorization: boolean;
  readonly sources: readonly CredentialSource[];
  readonly metrics: Pick<AuthorizerMetrics, 'upstreamValuesDropped'>;
};

/** Decides what the upstream receives of a request's headers. */
export type Forwarding = {
  /** Headers to remove from a request without an identity: all that the upstream could take for one. */
  removeAlways(request: CheckRequest | undefined): readonly string[];
  /**
   * Allows a request with the identity of its token. Cost: for a token that was allowed before, one scan of
   * the header names.
   */
  forward(request: CheckRequest, token: AccessToken, memo: TokenMemo): Allow | Oversize;
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
  const identityOf = createUpstreamIdentity({ ...options, hidden });
  const always = [...names, ...hidden];

  function prepare(token: AccessToken): Allow | Oversize {
    const identity = identityOf(token);
    return identity.kind === 'oversize' ? identity : allow(token, identity.upstream, identity.remove);
  }

  return {
    removeAlways: (request) => reserved(request, always),
    forward: (request, token, memo) => {
      const plain = (memo.plain ??= prepare(token));
      if (plain.kind === 'oversize') return plain;
      const { upstream } = plain;
      const remove = reserved(request, plain.remove);
      const rest = cookies.length === 0 ? undefined : withoutCookies(request.headers.get('cookie'), cookies);
      if (rest === undefined) return remove === plain.remove ? plain : allow(token, upstream, remove);
      if (rest === '') return allow(token, upstream, [...remove, 'cookie']);
      const set: readonly HeaderValue[] = [...upstream.set, ['cookie', rest]];
      return allow(token, { ...upstream, set }, remove);
    },
  };
}
