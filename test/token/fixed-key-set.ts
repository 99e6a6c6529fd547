import { createKeyRing, findKey, type VerificationKey } from '../../src/token/key-lookup.ts';
import type { KeySet } from '../../src/token/key-set.ts';

/** Keys that never change. */
export function createFixedKeySet(keys: readonly VerificationKey[]): KeySet {
  const ring = createKeyRing(keys);
  return {
    find: (kid, algorithm) => findKey(ring, kid, algorithm),
    vouchesFor: (key) => ring.keys.has(key),
    isUsable: () => true,
    refreshForUnknownKey: () => undefined,
    findNewer: (kid, algorithm) => Promise.resolve(findKey(ring, kid, algorithm)),
    state: () => ({ state: 'fresh', keys: ring.keys.size, ageSeconds: undefined, problem: undefined }),
    start: () => Promise.resolve(),
    stop: () => undefined,
  };
}
