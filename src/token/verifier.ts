import type { Clock } from '../runtime/clock.ts';
import { tally, type AuthorizerMetrics } from '../runtime/metrics.ts';
import type { AccessToken, Verification, Verified } from './access-token.ts';
import { checkTimes } from './claim-rules.ts';
import { reject, type Rejected } from './rejection.ts';
import { createTokenTable, type TokenEntry } from './token-table.ts';
import { createTokenVerification, type SignedToken, type TrustedIssuer } from './verify-token.ts';

export type VerifierOptions = {
  /** With distinct names. */
  readonly issuers: readonly TrustedIssuer[];
  readonly clock: Clock;
  readonly metrics: Pick<AuthorizerMetrics, 'tokenCache' | 'issuerClockAhead'>;
  /** Longest token accepted; default 8192. */
  readonly maxTokenBytes?: number;
  /** Verified tokens cached; default 10,000. */
  readonly maxCachedTokens?: number;
  /** Memory they may hold together, by estimate; default 56 MiB. */
  readonly maxCachedBytes?: number;
  /**
   * Tokens that wait for their turn, signatures being verified, and tokens that wait for newer keys; default
   * 1000 each.
   */
  readonly maxPendingVerifications?: number;
};

export type Verifier = {
  /**
   * Verifies an access token but for its audience and revocation. Synchronous for a cached token, for one
   * rejected before its signature, and for RS256 and HS256. Rejects the promise for a fault only.
   * Cost: none beyond the times of the token for an entry of `find`; else a look-up by the token's text; for
   * a token that is not cached parsing and one signature, once for equal tokens that arrive together.
   */
  verify(entry: TokenEntry): Verification | Promise<Verification>;
  /** Finds a cached token by its bytes. Its times, audience and revocation remain to be checked. */
  find(bytes: Buffer, start: number, end: number): TokenEntry | undefined;
  /** True once the keys of at least one issuer are usable. */
  isUsable(): boolean;
};

const defaultMaxTokenBytes = 8192;
const defaultMaxCachedTokens = 10_000;
const defaultMaxCachedBytes = 56 * 1024 * 1024;
const defaultMaxPending = 1000;

export function createVerifier(options: VerifierOptions): Verifier {
  const { issuers, clock, metrics, maxTokenBytes = defaultMaxTokenBytes } = options;
  const verifyToken = createTokenVerification({
    issuers,
    maxTokenBytes,
    maxPending: options.maxPendingVerifications ?? defaultMaxPending,
    clock,
  });
  const table = createTokenTable({
    maxEntries: options.maxCachedTokens ?? defaultMaxCachedTokens,
    maxBytes: options.maxCachedBytes ?? defaultMaxCachedBytes,
    maxTokenBytes,
  });
  const hits = tally(metrics.tokenCache, 'hit');
  const misses = tally(metrics.tokenCache, 'miss');
  const watchClock = createClockWatch(options);
  function conclude(entry: TokenEntry, outcome: SignedToken | Rejected): Verification {
    if (outcome.kind === 'rejected') return outcome;
    watchClock(outcome.verified.token);
    const verification = withTimesChecked(outcome.verified, clock.nowMs());
    if (verification.kind === 'rejected') return verification;
    entry.signed = outcome;
    table.add(entry);
    return verification;
  }

  const verifyNew = onceAtATime((entry) => {
    const outcome = verifyToken(entry.token);
    if (!(outcome instanceof Promise)) return conclude(entry, outcome);
    return outcome.then((settled) => conclude(entry, settled));
  });

  function verify(entry: TokenEntry): Verification | Promise<Verification> {
    const known = entry.signed === undefined ? table.findText(entry.token) : entry;
    const signed = known?.signed;
    if (known !== undefined && signed !== undefined) {
      // Asked each time: a key that left the set takes with it what it verified.
      if (signed.keySet.vouchesFor(signed.key)) {
        hits.inc();
        return withTimesChecked(signed.verified, clock.nowMs());
      }
      table.delete(known);
      known.signed = undefined;
    }
    misses.inc();
    return verifyNew(entry);
  }

  return {
    verify,
    find: (bytes, start, end) => table.find(bytes, start, end),
    isUsable: () => issuers.some(({ keySet }) => keySet.isUsable()),
  };
}

type Verify = (entry: TokenEntry) => Verification | Promise<Verification>;

/** Verifies equal tokens that arrive together once. */
function onceAtATime(verify: Verify): Verify {
  const running = new Map<string, Promise<Verification>>();
  return (entry) => {
    const { token } = entry;
    const earlier = running.get(token);
    if (earlier !== undefined) return earlier;
    const verification = verify(entry);
    if (!(verification instanceof Promise)) return verification;
    const shared = verification.finally(() => running.delete(token));
    running.set(token, shared);
    return shared;
  };
}

function withTimesChecked(verified: Verified, nowMs: number): Verification {
  const { rules, token } = verified;
  const unfit = checkTimes(token, rules, nowMs);
  if (unfit === undefined) return verified;
  return reject(unfit.reason, unfit.detail, { issuer: token.issuer, keyId: token.keyId });
}

/** Records how far each issuer's clock is ahead of ours, by its freshest token. */
function createClockWatch({ clock, metrics }: Pick<VerifierOptions, 'clock' | 'metrics'>) {
  const freshest = new Map<string, number>();
  return ({ issuer, issuedAt }: AccessToken): void => {
    if (issuedAt < (freshest.get(issuer) ?? 0)) return;
    freshest.set(issuer, issuedAt);
    metrics.issuerClockAhead.set({ issuer }, Math.max(0, issuedAt - clock.nowMs() / 1000));
  };
}
