import type { AccountStore } from '../store/account-store.ts';
import { costOf, hashPrefix, type PasswordCost } from './password.ts';

/**
 * The costs that stored hashes have. While there are hashes of a former cost, a check of one takes another time than
 * one of the present: every attempt computes a hash of each, so that none tells whether there is such an account.
 */
export type CostsInUse = {
  /** Each cost, the present one too. Cost: the first time one statement that looks at every account. */
  all(): Promise<readonly PasswordCost[]>;
};

/** As many as there are releases that changed it, at most; beyond, hashes tell that there are many kinds. */
const maxCosts = 4;
const sampleSize = 1000;

export function createCostsInUse(
  accounts: Pick<AccountStore, 'hashesUnlike'>,
  present: PasswordCost,
): CostsInUse {
  let known: readonly PasswordCost[] | undefined;
  return {
    all: async () => {
      if (known !== undefined) return known;
      const byPrefix = new Map([[hashPrefix(present), present]]);
      for (const stored of await accounts.hashesUnlike(hashPrefix(present), sampleSize)) {
        const cost = costOf(stored);
        if (cost !== undefined && byPrefix.size < maxCosts) byPrefix.set(hashPrefix(cost), cost);
      }
      return (known = [...byPrefix.values()]);
    },
  };
}
