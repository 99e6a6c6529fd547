import type { Clock } from '../runtime/clock.ts';
import type { Verified } from './access-token.ts';
import { checkClaims } from './claim-rules.ts';
import { parseCompactJws } from './compact-jws.ts';
import { createConcurrencyLimit, type ConcurrencyLimit } from './concurrency-limit.ts';
import { createEventLoopBudget } from './event-loop-budget.ts';
import { checkHeader, type CheckedHeader } from './header-rules.ts';
import { createIssuerChoice, type IssuerChoice } from './issuer-choice.ts';
import type { IssuerRules } from './issuer-rules.ts';
import type { KeyLookup, VerificationKey } from './key-lookup.ts';
import type { KeySet } from './key-set.ts';
import { reject, type Origin, type Rejected } from './rejection.ts';
import { isSignedBy } from './signature.ts';
import type { JsonObject } from './strict-json.ts';

/** An issuer's rules and where its keys are. */
export type TrustedIssuer = { readonly rules: IssuerRules; readonly keySet: KeySet };

/**
 * A token whose signature and claims hold, and the key that verified it. Its times are checked on each
 * request.
 */
export type SignedToken = {
  readonly kind: 'signed';
  readonly verified: Verified;
  readonly key: VerificationKey;
  readonly keySet: KeySet;
};

type Outcome = SignedToken | Rejected;

/** Verifies the signature and the claims of a token, but not its times, audience and revocation. */
export type VerifyToken = (token: string) => Outcome | Promise<Outcome>;

/** A token of a known issuer with a header by its rules; the signature is not verified yet. */
type Candidate = {
  readonly kind: 'candidate';
  readonly token: string;
  readonly claims: JsonObject;
  readonly header: CheckedHeader;
  readonly issuer: TrustedIssuer;
  readonly origin: Origin;
};

type Limits = { readonly verifying: ConcurrencyLimit; readonly awaitingKeys: ConcurrencyLimit };

const budgetMs = 1;

/**
 * Verifies tokens without caching them. Synchronous for a token rejected before its signature, and for the
 * algorithms that are verified on the main thread, as long as all of these take no more than 1 ms of a turn
 * of the event loop. Later ones wait for the next turn, so that a flood of new tokens does not delay tokens
 * that were verified before.
 * @param options.maxPending tokens that wait for their turn, signatures being verified, and tokens that wait
 *   for newer keys
 */
export function createTokenVerification(options: {
  readonly issuers: readonly TrustedIssuer[];
  readonly maxTokenBytes: number;
  readonly maxPending: number;
  readonly clock: Clock;
}): VerifyToken {
  const chooseIssuer = createIssuerChoice(options.issuers);
  const limits: Limits = {
    verifying: createConcurrencyLimit(options.maxPending),
    // A limit of its own, so that tokens which wait for keys never keep out tokens whose keys are known.
    awaitingKeys: createConcurrencyLimit(options.maxPending),
  };
  const withinBudget = createEventLoopBudget({
    budgetMs,
    maxWaiting: options.maxPending,
    monotonicMs: () => options.clock.monotonicMs(),
  });
  return (token) =>
    withinBudget<Outcome>(() => {
      const candidate = examine(token, chooseIssuer, options.maxTokenBytes);
      return candidate.kind === 'rejected' ? candidate : findKeyAndVerify(candidate, limits);
    }) ?? reject('overloaded');
}

function examine(
  token: string,
  chooseIssuer: IssuerChoice<TrustedIssuer>,
  maxTokenBytes: number,
): Candidate | Rejected {
  const jws = parseCompactJws(token, maxTokenBytes);
  if (jws.kind === 'rejected') return jws;
  const issuer = chooseIssuer(jws.claims['iss']);
  if ('kind' in issuer) return issuer;
  const header = checkHeader(jws.header, issuer.rules);
  if (header.kind === 'rejected') return header;
  const origin = { issuer: issuer.rules.issuer, keyId: header.kid };
  return { kind: 'candidate', token, claims: jws.claims, header, issuer, origin };
}

function findKeyAndVerify(candidate: Candidate, limits: Limits): Outcome | Promise<Outcome> {
  const { issuer } = candidate;
  const lookup = lookUp(candidate);
  if (lookup.kind !== 'unknown' || !lookup.refreshable) return verifyWith(lookup, candidate, limits);
  const refresh = issuer.keySet.refreshForUnknownKey();
  if (refresh === undefined) return verifyWith(lookup, candidate, limits);
  const waited = limits.awaitingKeys(async () => {
    await refresh;
    return true;
  });
  if (waited === undefined) return reject('overloaded', undefined, candidate.origin);
  return Promise.resolve(waited).then(() => verifyWith(lookUp(candidate), candidate, limits));
}

const lookUp = ({ header, issuer }: Candidate): KeyLookup => issuer.keySet.find(header.kid, header.algorithm);

function verifyWith(lookup: KeyLookup, candidate: Candidate, limits: Limits): Outcome | Promise<Outcome> {
  switch (lookup.kind) {
    case 'found':
      return (
        limits.verifying(() => verifySignature(candidate, lookup.key)) ??
        reject('overloaded', undefined, candidate.origin)
      );
    case 'unknown':
      return reject('unknown_key', lookup.detail, candidate.origin);
    case 'unavailable':
      return reject('keys_unavailable', undefined, candidate.origin);
  }
}

function verifySignature(candidate: Candidate, key: VerificationKey): Outcome | Promise<Outcome> {
  const signed = isSignedBy(key.key, candidate.header.algorithm, candidate.token);
  if (typeof signed === 'boolean') return conclude(candidate, key, signed);
  return signed.then((settled) => conclude(candidate, key, settled));
}

function conclude(candidate: Candidate, key: VerificationKey, isSigned: boolean): Outcome {
  const { claims, header, issuer, origin } = candidate;
  if (!isSigned) return reject('bad_signature', undefined, origin);
  // The key may have been withdrawn while the signature was verified on another thread.
  if (!issuer.keySet.vouchesFor(key))
    return reject('unknown_key', { claim: 'kid', found: 'withdrawn' }, origin);
  const checked = checkClaims(claims, issuer.rules, {
    type: header.type,
    keyId: key.keyId,
    keyNames: key.names,
  });
  if (checked.kind === 'unfit') return reject(checked.reason, checked.detail, origin);
  const verified: Verified = { kind: 'verified', token: checked.token, rules: issuer.rules, memo: undefined };
  return { kind: 'signed', verified, key, keySet: issuer.keySet };
}
