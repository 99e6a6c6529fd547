import type { KeyObject } from 'node:crypto';
import type { Algorithm } from '../vocabulary/algorithms.ts';
import type { RejectionDetail } from './rejection.ts';

/** A key that may verify signatures, and for which algorithms. */
export type VerificationKey = {
  readonly kid: string | undefined;
  /** Its name in logs: the `kid`, else the RFC 7638 thumbprint, or a secret's configured name. */
  readonly keyId: string;
  /** What the key, its JWK and the issuer's list agree on; never empty. */
  readonly algorithms: readonly Algorithm[];
  readonly key: KeyObject;
  /**
   * RFC 7638; equal for equal key material. For a secret it is a digest of the secret, which is never shown
   * or published.
   */
  readonly thumbprint: string;
  /**
   * Every name that a `key` revocation may use for it: its thumbprint, and each `kid` known for its key
   * material.
   */
  readonly names: readonly string[];
};

/** An issuer's keys at one moment. Immutable; a refresh makes a new one. */
export type KeyRing = {
  readonly keys: ReadonlySet<VerificationKey>;
  readonly byKid: ReadonlyMap<string, readonly VerificationKey[]>;
  /** Names by thumbprint, including keys of earlier rings: the same key may return under another `kid`. */
  readonly names: ReadonlyMap<string, readonly string[]>;
};

/**
 * Keys whose names are kept. Those that left the set first are dropped first. A set holds at most 100 keys.
 */
const maxNamedKeys = 1000;
/** `kid` values kept for one key; the oldest are dropped first. */
const maxKidsOfKey = 100;

export type KeyLookup =
  | { readonly kind: 'found'; readonly key: VerificationKey }
  /** `refreshable`: a newer key set could hold it. */
  | { readonly kind: 'unknown'; readonly detail: RejectionDetail; readonly refreshable: boolean }
  | { readonly kind: 'unavailable' };

/**
 * @param previous keys that did not change are carried over as the same objects, so that what they verified
 *   stays verified
 */
export function createKeyRing(keys: readonly VerificationKey[], previous?: KeyRing): KeyRing {
  const names = gatherNames(keys, previous);
  const kept = keys.map((read) => {
    const key = { ...read, names: names.get(read.thumbprint) ?? read.names };
    return carriedOver(key, previous) ?? key;
  });
  const byKid = new Map<string, VerificationKey[]>();
  for (const key of kept) {
    if (key.kid === undefined) continue;
    const sameName = byKid.get(key.kid);
    if (sameName === undefined) byKid.set(key.kid, [key]);
    else sameName.push(key);
  }
  return { keys: new Set(kept), byKid, names };
}

function gatherNames(keys: readonly VerificationKey[], previous: KeyRing | undefined): KeyRing['names'] {
  const gathered = new Map(previous?.names);
  for (const { thumbprint, names } of keys) {
    const kids = new Set([...(gathered.get(thumbprint) ?? []), ...names]);
    kids.delete(thumbprint);
    // Deleted first, so that it moves to the end: the first entries are dropped.
    gathered.delete(thumbprint);
    gathered.set(thumbprint, [thumbprint, ...[...kids].slice(-maxKidsOfKey)]);
  }
  for (const thumbprint of gathered.keys()) {
    if (gathered.size <= maxNamedKeys) break;
    gathered.delete(thumbprint);
  }
  return gathered;
}

/**
 * Not for a key with a new name: tokens that it verified are verified again, and a revocation of that name
 * then applies.
 */
function carriedOver(key: VerificationKey, previous: KeyRing | undefined): VerificationKey | undefined {
  for (const old of previous?.keys ?? []) {
    const same =
      old.kid === key.kid &&
      old.thumbprint === key.thumbprint &&
      old.algorithms.join() === key.algorithms.join() &&
      old.names.join('\n') === key.names.join('\n');
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
