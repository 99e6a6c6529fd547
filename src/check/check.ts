import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import type { Revocations } from '../revocation/revocable.ts';
import type { Verification } from '../token/access-token.ts';
import {
  createCredentialExtractor,
  type CredentialExtractor,
  type CredentialSource,
} from '../token/credential.ts';
import type { RejectionDetail } from '../token/rejection.ts';
import type { Verifier } from '../token/verifier.ts';
import type { Check, CheckRequest } from './check-request.ts';
import { allowAnonymous, deny, type Allow, type Decision, type Deny, type Reason } from './decision.ts';
import { createForwarding, type Forwarding, type ForwardingOptions } from './forwarding.ts';
import { createRoutePolicies, type RoutePolicies, type RoutePolicy } from './route-policy.ts';
import { createTokenAuthorizer, type TokenAuthorizer } from './token-authorizer.ts';
import { createTokenMemos } from './token-memo.ts';

export type CheckOptions = {
  readonly verifier: Verifier;
  /** Undefined: tokens are validated only. */
  readonly revocations: Revocations | undefined;
  /**
   * Longest time that a revoked token may pass, whatever fails; ms, Infinity without revocation. A route may
   * lower it.
   */
  readonly maxExposureMs: number;
  /** Where tokens are looked for, in order. */
  readonly sources: readonly CredentialSource[];
  /** Longest token, in bytes. */
  readonly maxTokenBytes: number;
  readonly upstream: Omit<ForwardingOptions, 'sources' | 'metrics'>;
  /** False until the keys of an issuer are usable. */
  isReady(): boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<AuthorizerMetrics, 'upstreamValuesDropped'>;
};

type Parts = {
  readonly options: CheckOptions;
  readonly routePolicies: RoutePolicies;
  readonly findCredential: CredentialExtractor;
  readonly memoOf: ReturnType<typeof createTokenMemos>;
  readonly authorize: TokenAuthorizer;
  readonly forwarding: Forwarding;
};

const noHttpAttributes = { claim: 'attributes.request.http', expected: 'present', found: 'absent' };

/**
 * Decides requests: route policy, credential, token, authorization, identity for the upstream. Synchronous
 * for a cached token. A fault becomes a denial, and its message goes to the log alone.
 */
export function createCheck(options: CheckOptions): Check {
  const forwarding = createForwarding({ ...options, ...options.upstream });
  const parts: Parts = {
    options,
    routePolicies: createRoutePolicies(options),
    findCredential: createCredentialExtractor(options),
    memoOf: createTokenMemos(),
    authorize: createTokenAuthorizer(options),
    forwarding,
  };
  const failed = (thrown: unknown, request: CheckRequest | undefined): Deny => {
    options.log.error('check failed', { err: thrown });
    return deny('internal_error', { remove: forwarding.removeAlways(request) });
  };
  return (request) => {
    try {
      const decision = decide(parts, request);
      if (!(decision instanceof Promise)) return decision;
      return decision.catch((thrown: unknown) => failed(thrown, request));
    } catch (thrown) {
      return failed(thrown, request);
    }
  };
}

function decide(parts: Parts, request: CheckRequest | undefined): Decision | Promise<Decision> {
  const { options, forwarding } = parts;
  if (request === undefined) return refuse(parts, request, 'misconfigured_route', noHttpAttributes);
  const route = parts.routePolicies(request.contextExtensions);
  if (route.access === 'misconfigured') return refuse(parts, request, 'misconfigured_route', route.detail);
  if (!options.isReady()) return refuse(parts, request, 'not_ready');
  const credential = parts.findCredential(request.headers, request.knownToken);
  switch (credential.kind) {
    case 'none':
      if (route.access !== 'optional') return refuse(parts, request, 'no_token');
      return allowAnonymous(route, forwarding.removeAlways(request));
    case 'multiple':
      return refuse(parts, request, 'multiple_tokens');
    case 'malformed':
      return refuse(parts, request, 'malformed_token', {
        claim: credential.source,
        found: credential.problem,
      });
    case 'token': {
      const verification = options.verifier.verify(credential);
      if (!(verification instanceof Promise)) return conclude(parts, request, route, verification);
      return verification.then((settled) => conclude(parts, request, route, settled));
    }
  }
}

const refuse = (
  { forwarding }: Parts,
  request: CheckRequest | undefined,
  reason: Reason,
  detail?: RejectionDetail,
): Deny => deny(reason, { detail, remove: forwarding.removeAlways(request) });

function conclude(
  { options, memoOf, authorize, forwarding }: Parts,
  request: CheckRequest,
  route: RoutePolicy,
  verification: Verification,
): Allow | Deny {
  if (verification.kind === 'rejected') {
    const { reason, detail, origin } = verification;
    return deny(reason, { detail, origin, remove: forwarding.removeAlways(request) });
  }
  const { token } = verification;
  const memo = memoOf(verification);
  const cause = authorize(verification, memo, route, options.clock.nowMs());
  if (cause !== undefined)
    return deny(cause.reason, { ...cause, token, remove: forwarding.removeAlways(request) });
  const decision = forwarding.forward(request, token, memo);
  if (decision.kind === 'oversize')
    return deny('malformed_token', { ...decision, token, remove: forwarding.removeAlways(request) });
  return decision;
}
