import type { Clock } from '../runtime/clock.ts';
import type { Verified } from './access-token.ts';
import { judgeClaims } from './claim-rules.ts';
import { parseCompactJws } from './compact-jws.ts';
import { createGate, type Gate } from './concurrency-limit.ts';
import { judgeHeader, type JudgedHeader } from './header-rules.ts';
import { createIssuerChoice, type IssuerChoice } from './issuer-choice.ts';
import type { IssuerRules } from './issuer-rules.ts';
import type { KeyLookup, VerificationKey } from './key-ring.ts';
import type { KeySet } from './key-set.ts';
import { reject, type Origin, type Rejected } from './rejection.ts';
import { isSignedBy } from './signature.ts';
import type { JsonObject } from './strict-json.ts';
import { createTurnShare } from './event-loop-budget.ts';

/** An issuer's rules and where its keys are. */
export type TrustedIssuer = { readonly rules: IssuerRules; readonly keySet: KeySet };

/** A verified token and the key it rests on. Times, audience and revocation are judged for every request. */
export type TokenProof = {
  readonly kind: 'proof';
  readonly verified: Verified;
  readonly key: VerificationKey;
  readonly keySet: KeySet;
};

export type Prover = (token: string) => TokenProof | Rejected | Promise<TokenProof | Rejected>;

/** A token of a known issuer with a header by its rules; the signature is still to be verified. */
type Candidate = {
  readonly kind: 'candidate';
  readonly token: string;
  readonly claims: JsonObject;
  readonly header: JudgedHeader;
  readonly issuer: TrustedIssuer;
  readonly origin: Origin;
};

type Gates = { readonly verifying: Gate; readonly awaitingKeys: Gate };
type Outcome = TokenProof | Rejected;

const shareMs = 1;

/**
 * Verifies a token from scratch; remembers nothing. Synchronous when it is refused before its signature, and where that is
 * verified at once, as long as all this takes a millisecond of a turn of the event loop: tokens seen before, which take next
 * to nothing, are not to wait for those of a flood.
 * @param options.maxPending tokens that wait for their turn, signatures in work at a time, and tokens that wait for newer keys
 */
export function createProver(options: {
  readonly issuers: readonly TrustedIssuer[];
  readonly maxTokenBytes: number;
  readonly maxPending: number;
  readonly clock: Clock;
}): Prover {
  const chooseIssuer = createIssuerChoice(options.issuers);
  const gates: Gates = {
    verifying: createGate(options.maxPending),
    // Apart, so that tokens which wait for keys never keep out those of known keys.
    awaitingKeys: createGate(options.maxPending),
  };
  const share = createTurnShare({
    shareMs,
    maxWaiting: options.maxPending,
    monotonicMs: () => options.clock.monotonicMs(),
  });
  return (token) =>
    share<Outcome>(() => {
      const candidate = examine(token, chooseIssuer, options.maxTokenBytes);
      return candidate.kind === 'rejected' ? candidate : findKeyAndProve(candidate, gates);
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
  const header = judgeHeader(jws.header, issuer.rules);
  if (header.kind === 'rejected') return header;
  const origin = { issuer: issuer.rules.issuer, keyId: header.kid };
  return { kind: 'candidate', token, claims: jws.claims, header, issuer, origin };
}

function findKeyAndProve(candidate: Candidate, gates: Gates): Outcome | Promise<Outcome> {
  const { issuer } = candidate;
  const lookup = lookUp(candidate);
  if (lookup.kind !== 'unknown' || !lookup.refreshable) return proveWith(lookup, candidate, gates);
  const refresh = issuer.keySet.refreshForUnknownKey();
  if (refresh === undefined) return proveWith(lookup, candidate, gates);
  const waited = gates.awaitingKeys(async () => {
    await refresh;
    return true;
  });
  if (waited === undefined) return reject('overloaded', undefined, candidate.origin);
  return Promise.resolve(waited).then(() => proveWith(lookUp(candidate), candidate, gates));
}

const lookUp = ({ header, issuer }: Candidate): KeyLookup => issuer.keySet.find(header.kid, header.algorithm);

function proveWith(lookup: KeyLookup, candidate: Candidate, gates: Gates): Outcome | Promise<Outcome> {
  switch (lookup.kind) {
    case 'found':
      return (
        gates.verifying(() => prove(candidate, lookup.key)) ??
        reject('overloaded', undefined, candidate.origin)
      );
    case 'unknown':
      return reject('unknown_key', lookup.detail, candidate.origin);
    case 'unavailable':
      return reject('keys_unavailable', undefined, candidate.origin);
  }
}

function prove(candidate: Candidate, key: VerificationKey): Outcome | Promise<Outcome> {
  const signed = isSignedBy(key.key, candidate.header.algorithm, candidate.token);
  if (typeof signed === 'boolean') return concluded(candidate, key, signed);
  return signed.then((settled) => concluded(candidate, key, settled));
}

function concluded(candidate: Candidate, key: VerificationKey, isSigned: boolean): Outcome {
  const { claims, header, issuer, origin } = candidate;
  if (!isSigned) return reject('bad_signature', undefined, origin);
  // The key may have been withdrawn meanwhile.
  if (!issuer.keySet.vouchesFor(key))
    return reject('unknown_key', { claim: 'kid', found: 'withdrawn' }, origin);
  const judged = judgeClaims(claims, issuer.rules, {
    type: header.type,
    keyId: key.keyId,
    keyNames: key.names,
  });
  if (judged.kind === 'unfit') return reject(judged.reason, judged.detail, origin);
  const verified: Verified = { kind: 'verified', token: judged.token, rules: issuer.rules };
  return { kind: 'proof', verified, key, keySet: issuer.keySet };
}
