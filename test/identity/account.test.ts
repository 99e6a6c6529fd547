import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createAuthenticate } from '../../src/identity/account/authenticate.ts';
import { createLoginThrottle } from '../../src/identity/account/login-throttle.ts';
import {
  argon2id,
  checkPassword,
  hashPassword,
  hashPrefix,
  passwordProblem,
  type Derive,
} from '../../src/identity/account/password.ts';
import { normalizeUsername } from '../../src/identity/store/username.ts';
import { identityMigrations } from '../../src/identity/store/migrations.ts';
import { createAccountStore } from '../../src/identity/store/account-store.ts';
import { migrate, openDatabase } from '../../src/database/database.ts';
import { createLog } from '../../src/runtime/log.ts';
import { createOwnerMetrics, Registry } from '../../src/runtime/metrics.ts';

const cheap = { memory: 64, passes: 1, parallelism: 1 };

describe('a password', () => {
  it('matches in any Unicode composition, and no other password matches', async () => {
    const stored = await hashPassword('Grüße-an-alle', cheap);
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=64,t=1,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
    const decomposed = 'Grüße-an-alle'.normalize('NFD');
    expect(await checkPassword(decomposed, stored, cheap)).toEqual({ isMatch: true, isOutdated: false });
    expect((await checkPassword('Grüße-an-allE', stored, cheap)).isMatch).toBe(false);
    expect((await checkPassword('', stored, cheap)).isMatch).toBe(false);
  });

  it('is hashed differently each time', async () => {
    expect(await hashPassword('the same', cheap)).not.toBe(await hashPassword('the same', cheap));
  });

  it('needs a new hash when the cost has changed', async () => {
    const stored = await hashPassword('long enough', cheap);
    const dearer = { ...cheap, passes: 2 };
    expect(await checkPassword('long enough', stored, dearer)).toEqual({ isMatch: true, isOutdated: true });
  });

  it('never matches a text that is not a hash', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (text) => {
        expect(await checkPassword('anything', text, cheap)).toEqual({ isMatch: false, isOutdated: false });
      }),
    );
  });

  it('has at least eight characters and at most a kilobyte', () => {
    expect(passwordProblem('1234567')).toContain('at least 8');
    expect(passwordProblem('12345678')).toBeUndefined();
    expect(passwordProblem('ü'.repeat(513))).toContain('at most 1024');
  });
});

describe('a user name', () => {
  it('is the same in upper and lower case and in any composition', () => {
    expect(normalizeUsername('Ada.Lovelace@Example.ORG')).toBe('ada.lovelace@example.org');
    expect(normalizeUsername('e\u0301lodie')).toBe('élodie');
    expect(normalizeUsername('ada')).toBe('ada');
  });

  it.each(['', ' ', 'a b', 'a\u0000b', '<script>', 'a'.repeat(129), 'a/b', "a'b"])('is not %j', (text) => {
    expect(normalizeUsername(text)).toBeUndefined();
  });

  it('does not change when normalized twice', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const once = normalizeUsername(text);
        return once === undefined || normalizeUsername(once) === once;
      }),
    );
    expect(normalizeUsername('ﬁona')).toBe('fiona');
  });
});

describe('the login throttle', () => {
  const limits = {
    perAccount: { burst: 3, refillEveryMs: 1000 },
    perAddress: { burst: 5, refillEveryMs: 100 },
  };

  function throttleAt(options: { maxEntries?: number } = {}) {
    let nowMs = 0;
    const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
    const pass = (ms: number): void => void (nowMs += ms);
    return { throttle: createLoginThrottle({ clock, ...limits, ...options }), pass };
  }

  it('allows a burst of attempts per account, then one per interval, from all addresses together', () => {
    const { throttle, pass } = throttleAt();
    for (let attempt = 0; attempt < 3; attempt += 1)
      expect(throttle.take('ada', `10.0.0.${attempt}`)).toBe(0);
    expect(throttle.take('ada', '10.0.0.9')).toBe(1000);
    pass(400);
    expect(throttle.take('ada', '10.0.0.9')).toBe(600);
    pass(600);
    expect(throttle.take('ada', '10.0.0.9')).toBe(0);
    expect(throttle.take('ada', '10.0.0.9')).toBeGreaterThan(0);
  });

  it('allows a burst of attempts per address, for all accounts together', () => {
    const { throttle } = throttleAt();
    for (let attempt = 0; attempt < 5; attempt += 1)
      expect(throttle.take(`user${attempt}`, '10.0.0.1')).toBe(0);
    expect(throttle.take('another', '10.0.0.1')).toBe(100);
    expect(throttle.take('another', '10.0.0.2')).toBe(0);
  });

  it('counts a whole IPv6 network as one address', () => {
    const { throttle } = throttleAt();
    for (let attempt = 0; attempt < 5; attempt += 1)
      expect(throttle.take(`user${attempt}`, `2001:db8:1:2:${attempt}::7`)).toBe(0);
    expect(throttle.take('another', '2001:db8:1:2::1')).toBeGreaterThan(0);
    expect(throttle.take('another', '2001:db8:1:3::1')).toBe(0);
  });

  it('does not count successful attempts', () => {
    const { throttle } = throttleAt();
    for (let attempt = 0; attempt < 100; attempt += 1) {
      expect(throttle.take('ada', '10.0.0.1')).toBe(0);
      throttle.giveBack('ada', '10.0.0.1');
    }
  });

  it('never lets more through than burst and refill allow', () => {
    const steps = fc.array(fc.oneof(fc.constant('try' as const), fc.integer({ min: 0, max: 3000 })));
    fc.assert(
      fc.property(steps, (all) => {
        const { throttle, pass } = throttleAt();
        let passedMs = 0;
        let through = 0;
        for (const step of all) {
          if (step === 'try') through += throttle.take('ada', '10.0.0.1') === 0 ? 1 : 0;
          else pass(step);
          if (step !== 'try') passedMs += step;
        }
        expect(through).toBeLessThanOrEqual(3 + Math.floor(passedMs / 1000));
      }),
    );
  });

  it('tracks a bounded number of names', () => {
    const { throttle } = throttleAt({ maxEntries: 10 });
    for (let attempt = 0; attempt < 3; attempt += 1) throttle.take('ada', `10.0.0.${attempt}`);
    for (let other = 0; other < 9; other += 1) throttle.take(`user${other}`, `10.1.0.${other}`);
    expect(throttle.take('ada', '10.2.0.1')).toBeGreaterThan(0);
    for (let other = 0; other < 10; other += 1) throttle.take(`more${other}`, `10.3.0.${other}`);
    expect(throttle.take('ada', '10.2.0.1')).toBe(0);
  });
});

describe('authentication', () => {
  async function authenticator(
    options: { maxConcurrent?: number; maxWaiting?: number; derive?: Derive } = {},
  ) {
    const database = openDatabase({ sqlite: ':memory:' });
    await migrate(database, [identityMigrations]);
    const accounts = createAccountStore(database);
    const passwordHash = await hashPassword('long enough', cheap);
    const account = { id: 'a', username: 'ada', passwordHash, credentialsChangedAtMs: 1, isDisabled: false };
    await accounts.insert(account, 1);
    const clock = { nowMs: () => 0, monotonicMs: () => 0 };
    const authenticate = await createAuthenticate({
      accounts,
      throttle: createLoginThrottle({ clock }),
      metrics: createOwnerMetrics(new Registry()),
      log: createLog({ program: 'test', level: 'silent' }),
      cost: cheap,
      ...options,
    });
    const attempt = (username: string, password: string) =>
      authenticate({ username, password, address: '10.0.0.1' });
    return { account, accounts, attempt, database };
  }

  it('accepts the right password of an enabled account', async () => {
    const { attempt, accounts, database } = await authenticator();
    expect(await attempt('ADA', 'long enough')).toMatchObject({
      kind: 'authenticated',
      account: { id: 'a' },
    });
    expect(await attempt('ada', 'wrong')).toEqual({ kind: 'refused' });
    expect(await attempt('nobody', 'long enough')).toEqual({ kind: 'refused' });
    await database.db.transaction().execute((trx) => accounts.disable(trx, 'a', 2));
    expect(await attempt('ada', 'long enough')).toEqual({ kind: 'refused' });
  });

  it.each([
    ['all hashes have the present cost', [cheap]],
    ['one has a former cost', [cheap, { ...cheap, memory: 32 }]],
    ['one has two former ones', [cheap, { ...cheap, memory: 32 }, { ...cheap, passes: 3 }]],
    ['one is dearer than what is made now', [cheap, { ...cheap, memory: 128 }]],
  ])('computes the same hashes for whoever is asked for, where %s', async (_, costs) => {
    const computed: string[] = [];
    const derive: Derive = async (...args) => {
      computed.push(hashPrefix(args[2]));
      return await argon2id(...args);
    };
    const { accounts, attempt, database } = await authenticator({ derive });
    for (const [index, cost] of costs.entries()) {
      const passwordHash = await hashPassword('long enough', cost);
      const more = { credentialsChangedAtMs: 1, isDisabled: false };
      await accounts.insert({ id: `b${index}`, username: `user${index}`, passwordHash, ...more }, 1);
    }
    const broken = { id: 'c', username: 'broken', passwordHash: 'none', credentialsChangedAtMs: 1 };
    await accounts.insert({ ...broken, isDisabled: false }, 1);
    await database.db.transaction().execute((trx) => accounts.disable(trx, 'a', 2));
    const expected = costs.map(hashPrefix).toSorted();
    const names = ['nobody', 'not a name', 'ada', 'broken', ...costs.map((_cost, index) => `user${index}`)];
    for (const name of names) {
      computed.length = 0;
      expect(await attempt(name, 'wrong')).toEqual({ kind: 'refused' });
      expect(computed.toSorted()).toEqual(expected);
    }
    // The right password of a disabled account tells no more.
    computed.length = 0;
    expect(await attempt('ada', 'long enough')).toEqual({ kind: 'refused' });
    expect(computed.toSorted()).toEqual(expected);
  });

  it('replaces a hash of an earlier cost at the next login', async () => {
    const { account, accounts, attempt } = await authenticator();
    await accounts.rehash(account, await hashPassword('long enough', { ...cheap, memory: 32 }));
    await attempt('ada', 'long enough');
    expect((await accounts.find('a'))?.passwordHash).toContain('m=64,');
  });

  it('does not restore an old password that was replaced during the rehash', async () => {
    const { account, accounts, database } = await authenticator();
    await database.db.transaction().execute((trx) => accounts.setPassword(trx, 'a', 'the new hash', 2));
    await accounts.rehash(account, await hashPassword('long enough', cheap));
    expect((await accounts.find('a'))?.passwordHash).toBe('the new hash');
  });

  it('throttles attempts with the right password, too', async () => {
    const { attempt } = await authenticator();
    for (let wrong = 0; wrong < 10; wrong += 1) await attempt('ada', 'wrong');
    expect(await attempt('ada', 'long enough')).toEqual({ kind: 'throttled', retryAfterSeconds: 30 });
  });

  it('computes a bounded number of hashes at once and throttles further attempts', async () => {
    const { attempt } = await authenticator({ maxConcurrent: 1, maxWaiting: 1 });
    const kinds = await Promise.all(['a1', 'a2', 'a3', 'a4'].map((name) => attempt(name, 'wrong')));
    expect(kinds.map(({ kind }) => kind).toSorted()).toEqual([
      'refused',
      'refused',
      'throttled',
      'throttled',
    ]);
    expect(await attempt('ada', 'long enough')).toMatchObject({ kind: 'authenticated' });
  });
});
