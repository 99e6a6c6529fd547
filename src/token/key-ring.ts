import type { KeyObject } from 'node:crypto';
import type { Algorithm } from './algorithm.ts';
import type { RejectionDetail } from './rejection.ts';

/** A key that may verify signatures, and for which algorithms. */
export type VerificationKey = {
  readonly kid: string | undefined;
  /** The name a `key` revocation uses: the `kid`, else the RFC 7638 thumbprint, or a secret's configured name. */
  readonly keyId: string;
  /** What the key, its JWK and the issuer's list agree on; never empty. */
  readonly algorithms: readonly Algorithm[];
  readonly key: KeyObject;
  /** Equal for equal key material (RFC 7638); a digest for a secret. Never shown. */
  readonly thumbprint: string;
};

/** An issuer's keys at one moment. Immutable; a refresh makes another. */
export type KeyRing = {
  readonly keys: ReadonlySet<VerificationKey>;
  readonly byKid: ReadonlyMap<string, readonly VerificationKey[]>;
};

export type KeyLookup =
  | { readonly kind: 'found'; readonly key: VerificationKey }
  /** `refreshable`: a newer key set could hold it. */
  | { readonly kind: 'unknown'; readonly detail: RejectionDetail; readonly refreshable: boolean }
  | { readonly kind: 'unavailable' };

/**
 * @param previous keys that did not change are carried over as the same objects, so that what they verified stays
 *   verified
 */
export function createKeyRing(keys: readonly VerificationKey[], previous?: KeyRing): KeyRing {
  const kept = keys.map((key) => carriedOver(key, previous) ?? key);
  const byKid = new Map<string, VerificationKey[]>();
  for (const key of kept) {
    if (key.kid === undefined) continue;
    const sameName = byKid.get(key.kid);
    if (sameName === undefined) byKid.set(key.kid, [key]);
    else sameName.push(key);
  }
  return { keys: new Set(kept), byKid };
}

function carriedOver(key: VerificationKey, previous: KeyRing | undefined): VerificationKey | undefined {
  for (const old of previous?.keys ?? []) {
    const same =
      old.kid === key.kid &&
      old.thumbprint === key.thumbprint &&
      old.algorithms.join() === key.algorithms.join();
    if (same) return old;
  }
  return undefined;
}

/** Finds the one key that fits (RFC 7515 §4.1.4, §6): by `kid`, else the only one for the algorithm. */
export function findKey(ring: KeyRing, kid: string | undefined, algorithm: Algorithm): KeyLookup {
  const named = kid === undefined ? ring.keys : (ring.byKid.get(kid) ?? []);
  let found: VerificationKey | undefined;
  let count = 0;
  for (const key of named) {
    if (!key.algorithms.includes(algorithm)) continue;
    found = key;
    count += 1;
  }
  if (found !== undefined && count === 1) return { kind: 'found', key: found };
  const detail = {
    claim: 'kid',
    expected: `exactly one key of the set for ${algorithm}`,
    found: `${count} ${kid === undefined ? 'without a kid to choose by' : `named ${JSON.stringify(kid)}`}`,
  };
  return { kind: 'unknown', detail, refreshable: count === 0 };
}
