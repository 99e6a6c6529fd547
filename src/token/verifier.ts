import type { Clock } from '../runtime/clock.ts';
import { tally, type AuthorizerMetrics } from '../runtime/metrics.ts';
import type { AccessToken, Verification, Verified } from './access-token.ts';
import type { PresentedToken } from './bearer.ts';
import { judgeTimes } from './claim-rules.ts';
import { reject, type Rejected } from './rejection.ts';
import { createTokenCache } from './token-cache.ts';
import { createProver, type TokenProof, type TrustedIssuer } from './verify-token.ts';

export type VerifierOptions = {
  /** With distinct names. */
  readonly issuers: readonly TrustedIssuer[];
  readonly clock: Clock;
  readonly metrics: Pick<AuthorizerMetrics, 'tokenCache' | 'issuerClockAhead'>;
  /** Longest token looked at; default 8192. */
  readonly maxTokenBytes?: number;
  /** Verified tokens remembered; default 10,000. */
  readonly maxCachedTokens?: number;
  /** What they may hold together, by estimate; default 32 MiB. */
  readonly maxCachedBytes?: number;
  /** Tokens that wait for their turn, signatures in work at a time, and tokens that wait for newer keys; default 1000 each. */
  readonly maxPendingVerifications?: number;
};

export type Verifier = {
  /**
   * Verifies an access token but for its audience and revocation. Synchronous for a token verified before, for one refused
   * before its signature, and for RS256 and HS256. Rejects for a fault only.
   * Cost: a map look-up, and none where `presented` is remembered; on a miss parsing and one signature, once for equal tokens
   * at a time.
   * @param presented where its proof is left, for when it is presented again
   */
  verify(token: string, presented?: Pick<PresentedToken, 'proof'>): Verification | Promise<Verification>;
  /** True once the keys of at least one issuer are usable. */
  isUsable(): boolean;
};

const defaultMaxTokenBytes = 8192;
const defaultMaxCachedTokens = 10_000;
const defaultMaxCachedBytes = 32 * 1024 * 1024;
const defaultMaxPending = 1000;

export function createVerifier(options: VerifierOptions): Verifier {
  const { issuers, clock, metrics } = options;
  const prove = createProver({
    issuers,
    maxTokenBytes: options.maxTokenBytes ?? defaultMaxTokenBytes,
    maxPending: options.maxPendingVerifications ?? defaultMaxPending,
    clock,
  });
  const cache = createTokenCache<TokenProof>({
    maxEntries: options.maxCachedTokens ?? defaultMaxCachedTokens,
    maxBytes: options.maxCachedBytes ?? defaultMaxCachedBytes,
  });
  const hits = tally(metrics.tokenCache, 'hit');
  const misses = tally(metrics.tokenCache, 'miss');
  const noteClock = createClockWatch(options);
  const flights = new Map<string, Promise<Verification>>();

  function conclude(token: string, proof: TokenProof | Rejected): Verification {
    if (proof.kind === 'rejected') return proof;
    noteClock(proof.verified.token);
    const verification = judgedNow(proof.verified, clock.nowMs());
    if (verification.kind === 'verified') cache.set(token, proof);
    return verification;
  }

  function verify(
    token: string,
    presented?: Pick<PresentedToken, 'proof'>,
  ): Verification | Promise<Verification> {
    const known = presented?.proof ?? cache.get(token);
    if (known?.keySet.vouchesFor(known.key) === true) {
      if (presented !== undefined) presented.proof = known;
      hits.inc();
      return judgedNow(known.verified, clock.nowMs());
    }
    misses.inc();
    if (known !== undefined) cache.delete(token);
    if (presented !== undefined) presented.proof = undefined;
    const running = flights.get(token);
    if (running !== undefined) return running;
    const proof = prove(token);
    if (!(proof instanceof Promise)) return conclude(token, proof);
    const flight = proof.then((settled) => conclude(token, settled)).finally(() => flights.delete(token));
    flights.set(token, flight);
    return flight;
  }

  return { verify, isUsable: () => issuers.some(({ keySet }) => keySet.isUsable()) };
}

function judgedNow(verified: Verified, nowMs: number): Verification {
  const { rules, token } = verified;
  const unfit = judgeTimes(token, rules, nowMs);
  if (unfit === undefined) return verified;
  return reject(unfit.reason, unfit.detail, { issuer: token.issuer, keyId: token.keyId });
}

/** Follows how far each issuer's clock is ahead of ours, by its freshest token. */
function createClockWatch({ clock, metrics }: Pick<VerifierOptions, 'clock' | 'metrics'>) {
  const freshest = new Map<string, number>();
  return ({ issuer, issuedAt }: AccessToken): void => {
    if (issuedAt < (freshest.get(issuer) ?? 0)) return;
    freshest.set(issuer, issuedAt);
    metrics.issuerClockAhead.set({ issuer }, Math.max(0, issuedAt - clock.nowMs() / 1000));
  };
}
