import type { Algorithm } from '../vocabulary/algorithms.ts';
import { parseCompactJws } from '../token/compact-jws.ts';
import { checkHeader, type CheckedHeader } from '../token/header-rules.ts';
import { issuerRules } from '../token/issuer-rules.ts';
import type { KeyLookup, VerificationKey } from '../token/key-lookup.ts';
import type { KeySet } from '../token/key-set.ts';
import type { Rejected, TokenRejection } from '../token/rejection.ts';
import { isQuicklyVerified, isSignedBy } from '../token/signature.ts';
import type { JsonObject } from '../token/strict-json.ts';
import type { Allowance } from './delivery-limits.ts';
import { refuseDelivery, type DeliveryRefusal, type Refused } from './receiver.ts';

export type SignedJwtOptions = {
  /** The required `iss`, compared byte for byte; undefined if the profile has no `iss`. */
  readonly issuer: string | undefined;
  readonly algorithms: readonly Algorithm[];
  /** Accepted values of `typ`; `none` accepts an absent one. */
  readonly types: readonly string[];
  readonly keySet: KeySet;
  /** Longest JWT, in characters. */
  readonly maxLength: number;
};

export type SignedJwt = { readonly kind: 'verified'; readonly claims: JsonObject };

export type ReadSignedJwt = (token: string, allowance: Allowance) => Promise<SignedJwt | Refused>;

/**
 * Verifies form, header, issuer and signature of JWTs that are not access tokens. The caller checks the other
 * claims.
 */
export function createSignedJwtReader(options: SignedJwtOptions): ReadSignedJwt {
  const { issuer, algorithms, types, keySet, maxLength } = options;
  const rules = issuerRules({ issuer: issuer ?? '', audiences: 'any', algorithms, types });

  return async (token, allowance) => {
    const jws = parseCompactJws(token, maxLength);
    if (jws.kind === 'rejected') return refusedBy(jws);
    if (issuer !== undefined && jws.claims['iss'] !== issuer)
      return refuseDelivery('wrong_issuer', {
        claim: 'iss',
        expected: issuer,
        found: shown(jws.claims['iss']),
      });
    const header = checkHeader(jws.header, rules);
    if (header.kind === 'rejected') return refusedBy(header);
    const lookup = await findKey(keySet, header, allowance);
    if (lookup === undefined) return refuseDelivery('overloaded');
    if (lookup.kind === 'unavailable') return refuseDelivery('keys_unavailable');
    if (lookup.kind === 'unknown') return refuseDelivery('unknown_key', lookup.detail);
    const isSigned = await verify(token, lookup.key, header.algorithm, allowance);
    if (isSigned === undefined) return refuseDelivery('overloaded');
    if (!isSigned) return refuseDelivery('bad_signature');
    // The issuer may have withdrawn the key meanwhile.
    if (!keySet.vouchesFor(lookup.key)) return refuseDelivery('unknown_key');
    return { kind: 'verified', claims: jws.claims };
  };
}

/** @returns undefined if the delivery was dropped while it waited for newer keys */
async function findKey(
  keySet: KeySet,
  { kid, algorithm }: CheckedHeader,
  { hold }: Allowance,
): Promise<KeyLookup | undefined> {
  const lookup = keySet.find(kid, algorithm);
  if (lookup.kind !== 'unknown' || !lookup.refreshable) return lookup;
  return await hold((signal) => keySet.findNewer(kid, algorithm, signal));
}

/** @returns undefined if the delivery was dropped while it waited for the concurrency limit */
async function verify(
  token: string,
  { key }: VerificationKey,
  algorithm: Algorithm,
  allowance: Allowance,
): Promise<boolean | undefined> {
  const work = () => isSignedBy(key, algorithm, token);
  return isQuicklyVerified(key, algorithm) ? await work() : await allowance.verify(work);
}

const asRefusal: Partial<Record<TokenRejection, DeliveryRefusal>> = {
  algorithm_not_allowed: 'algorithm_not_allowed',
  wrong_type: 'wrong_type',
};

const refusedBy = ({ reason, detail }: Rejected): Refused =>
  refuseDelivery(asRefusal[reason] ?? 'malformed', detail);

const maxShown = 256;

/** An untrusted value in a bounded form, for the log. */
export const shown = (value: unknown): string =>
  typeof value === 'string' ? value.slice(0, maxShown) : value === undefined ? 'absent' : `a ${typeof value}`;
