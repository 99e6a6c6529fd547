import { isDatabaseUnavailable } from '../../runtime/fault.ts';
import type { Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import type { Account, AccountStore } from '../store/account-store.ts';
import type { LoginThrottle } from './login-throttle.ts';
import { createCostsInUse } from './password-costs.ts';
import {
  argon2id,
  checkPassword,
  costOf,
  defaultPasswordCost,
  hashPassword,
  hashPrefix,
  type Derive,
  type PasswordCheck,
  type PasswordCost,
} from './password.ts';
import { normalizeUsername } from '../store/username.ts';

export type Authentication =
  | { kind: 'authenticated'; account: Account }
  /** Unknown user, wrong password or disabled account. The result must not show which one. */
  | { kind: 'refused' }
  | { kind: 'throttled'; retryAfterSeconds: number };

export type Authenticate = (attempt: {
  username: string;
  password: string;
  address: string;
}) => Promise<Authentication>;

export type AuthenticateOptions = {
  accounts: AccountStore;
  throttle: LoginThrottle;
  metrics: Pick<OwnerMetrics, 'logins'>;
  log: Log;
  cost?: PasswordCost;
  derive?: Derive;
  /** Most password hashes computed at once, each with its memory. Default 4. */
  maxConcurrent?: number;
  /** Most attempts that wait for one; further attempts are throttled. Default 64. */
  maxWaiting?: number;
};

/**
 * Creates the login by user name and password. Neither the result nor its timing shows whether a user exists.
 * Cost: one password hash, which is then used for unknown users.
 */
export async function createAuthenticate(options: AuthenticateOptions): Promise<Authenticate> {
  const { accounts, throttle, metrics, log, cost = defaultPasswordCost, derive = argon2id } = options;
  const limit = createLimiter(options.maxConcurrent ?? 4, options.maxWaiting ?? 64);
  const costs = createCostsInUse(accounts, cost);
  const unknownUserHash = await hashPassword('password of unknown users', cost, derive);

  /**
   * Computes one hash of each cost in use for every attempt, so that the time doesn't depend on the account.
   */
  async function check(password: string, stored: string | undefined): Promise<PasswordCheck> {
    const own = stored === undefined ? undefined : costOf(stored);
    const hash = stored === undefined || own === undefined ? unknownUserHash : stored;
    const ownPrefix = hashPrefix(own ?? cost);
    for (const other of await costs.all())
      if (hashPrefix(other) !== ownPrefix)
        await checkPassword(password, `${hashPrefix(other)}${saltAndTagOf(unknownUserHash)}`, cost, derive);
    return await checkPassword(password, hash, cost, derive);
  }

  async function verify(name: string | undefined, password: string): Promise<Account | undefined> {
    const account = name === undefined ? undefined : await accounts.findByName(name);
    const { isMatch, isOutdated } = await check(password, account?.passwordHash);
    if (account === undefined || !isMatch || account.isDisabled) return undefined;
    if (isOutdated) await accounts.rehash(account, await hashPassword(password, cost, derive));
    return account;
  }

  return async ({ username, password, address }) => {
    const name = normalizeUsername(username);
    const key = name ?? '';
    const waitMs = throttle.take(key, address);
    if (waitMs > 0) return throttled(waitMs);
    const release = await limit();
    if (release === undefined) {
      throttle.giveBack(key, address);
      return throttled(1000);
    }
    try {
      const account = await verify(name, password).catch((thrown: unknown) => {
        // The attempt showed nothing about the password.
        if (isDatabaseUnavailable(thrown)) throttle.giveBack(key, address);
        throw thrown;
      });
      metrics.logins.inc({ result: account === undefined ? 'refused' : 'ok' });
      if (account === undefined) return { kind: 'refused' };
      throttle.giveBack(key, address);
      return { kind: 'authenticated', account };
    } finally {
      release();
    }
  };

  function throttled(waitMs: number): Authentication {
    metrics.logins.inc({ result: 'throttled' });
    log.debug('login throttled', { delayMs: waitMs });
    return { kind: 'throttled', retryAfterSeconds: Math.ceil(waitMs / 1000) };
  }
}

const saltAndTagOf = (stored: string): string => stored.split('$').slice(-2).join('$');

/**
 * Limits concurrency. The returned function waits for a slot and resolves to its release; undefined: too many
 * wait.
 */
function createLimiter(maxConcurrent: number, maxWaiting: number): () => Promise<(() => void) | undefined> {
  let running = 0;
  const waiting: (() => void)[] = [];
  const release = (): void => {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  };
  return async () => {
    if (running < maxConcurrent) {
      running += 1;
      return release;
    }
    if (waiting.length >= maxWaiting) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push(resolve);
    await promise;
    return release;
  };
}
