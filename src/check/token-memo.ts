import type { Verified } from '../token/access-token.ts';
import type { Allow } from './decision.ts';
import type { RoutePolicy } from './route-policy.ts';
import type { Oversize } from './upstream-identity.ts';

/** What a check derived from a verified token. It is kept with the token and evicted with it. */
export type TokenMemo = {
  /** The check that derived it. */
  readonly owner: object;
  /** The route whose audience and scopes the token met last. */
  metRoute: RoutePolicy | undefined;
  /**
   * The decision for a request from which no header has to be removed beyond those removed from every
   * request.
   */
  plain: Allow | Oversize | undefined;
};

/** Makes the function that gives each token its memo. Cost: one comparison. */
export function createTokenMemos(): (verified: Verified) => TokenMemo {
  const owner = {};
  return (verified) => {
    const known = verified.memo as TokenMemo | undefined;
    if (known?.owner === owner) return known;
    const memo: TokenMemo = { owner, metRoute: undefined, plain: undefined };
    verified.memo = memo;
    return memo;
  };
}
