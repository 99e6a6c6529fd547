import type { AccountStore } from '../store/account-store.ts';
import { costOf, hashPrefix, type PasswordCost } from './password.ts';

/**
 * The costs of the stored password hashes. Checking a hash of an earlier cost takes a different time than
 * checking one of the current cost. So every attempt computes a hash of each cost, and its time doesn't show
 * whether an account exists.
 */
export type CostsInUse = {
  /** All costs, including the current one. Cost: the first call scans all accounts in one statement. */
  all(): Promise<readonly PasswordCost[]>;
};

/** Most costs that every attempt computes: one for each release that changed it, at most. */
const maxCosts = 4;
const sampleSize = 1000;

export function createCostsInUse(
  accounts: Pick<AccountStore, 'hashesUnlike'>,
  current: PasswordCost,
): CostsInUse {
  let known: readonly PasswordCost[] | undefined;
  return {
    all: async () => {
      if (known !== undefined) return known;
      const byPrefix = new Map([[hashPrefix(current), current]]);
      for (const stored of await accounts.hashesUnlike(hashPrefix(current), sampleSize)) {
        const cost = costOf(stored);
        if (cost !== undefined && byPrefix.size < maxCosts) byPrefix.set(hashPrefix(cost), cost);
      }
      return (known = [...byPrefix.values()]);
    },
  };
}
