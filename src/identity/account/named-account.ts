import type { Account, AccountStore } from '../store/account-store.ts';
import { normalizeUsername } from '../store/username.ts';

/** Finds the account of a user name that a person entered. */
export async function namedAccount(
  accounts: Pick<AccountStore, 'findByName'>,
  text: string,
): Promise<Account | undefined> {
  const name = normalizeUsername(text);
  return name === undefined ? undefined : await accounts.findByName(name);
}
