import { createCheck } from '../check/check.ts';
import type { Check } from '../check/check-request.ts';
import type { AuthorizerConfig } from '../config/authorizer.ts';
import type { RevocationFeed } from '../revocation/feed.ts';
import { createRevocationFeed } from '../revocation/redis-feed.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import { createVerifier, type Verifier } from '../token/verifier.ts';
import { trustedIssuers, type ConfiguredIssuer } from './trusted-issuers.ts';

export type AuthorizerDependencies = {
  readonly config: AuthorizerConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AuthorizerMetrics;
};

/** What a decision needs: the trusted issuers with their keys, the verifier, and the revocations. */
export type AuthorizerParts = {
  readonly issuers: readonly ConfiguredIssuer[];
  readonly verifier: Verifier;
  readonly feed: RevocationFeed | undefined;
};

/** Constructs the configured parts of an authorizer. Nothing is opened before they are started. */
export function createAuthorizerParts({
  config,
  clock,
  log,
  metrics,
}: AuthorizerDependencies): AuthorizerParts {
  const issuers = trustedIssuers(config.issuers, { clock, log, metrics });
  const verifier = createVerifier({ issuers, clock, metrics, maxTokenBytes: config.token.maxBytes });
  const { revocation } = config;
  if (revocation === undefined) return { issuers, verifier, feed: undefined };
  const feed = createRevocationFeed({
    redis: revocation.redis,
    logName: revocation.log,
    issuers: issuers
      .filter(({ rules }) => rules.revocable)
      .map(({ rules: { issuer, clockToleranceSeconds } }) => ({ issuer, clockToleranceSeconds })),
    maxExposureMs: revocation.maxExposure,
    maxEntries: revocation.maxEntries,
    clock,
    log,
    metrics,
  });
  return { issuers, verifier, feed };
}

export function createConfiguredCheck(
  { config, clock, log, metrics }: AuthorizerDependencies,
  { verifier, feed }: AuthorizerParts,
): Check {
  return createCheck({
    verifier,
    revocations: feed?.revocations,
    maxExposureMs: config.revocation?.maxExposure ?? Infinity,
    sources: config.token.sources,
    maxTokenBytes: config.token.maxBytes,
    upstream: config.upstream,
    isReady: () => verifier.isUsable(),
    clock,
    log,
    metrics,
  });
}
