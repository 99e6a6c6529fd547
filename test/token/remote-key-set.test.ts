import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/runtime/clock.ts';
import { createRemoteKeySet } from '../../src/token/remote-key-set.ts';
import { capturedLog, testMetrics } from './fixtures.ts';
import { jwkSetOf, testIssuer, testKey } from './tokens.ts';

const [one, two] = [testKey('RS256', 'one'), testKey('RS256', 'two')];
const minute = 60_000;

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'],
  });
});
afterEach(() => {
  vi.useRealTimers();
});

type Answer = string | Error | Promise<string>;

/** A key set whose server answers as the test says. */
function remote() {
  const log = capturedLog();
  const metrics = testMetrics();
  let answer: Answer = jwkSetOf(one);
  let loads = 0;
  const keySet = createRemoteKeySet({
    issuer: testIssuer,
    algorithms: ['RS256'],
    load: async () => {
      loads += 1;
      if (answer instanceof Error) throw answer;
      return await answer;
    },
    refreshMs: 5 * minute,
    cooldownMs: 10_000,
    maxStaleMs: 60 * minute,
    clock: systemClock,
    random: () => 0.5,
    log: log.log,
    metrics,
  });
  return {
    keySet,
    log,
    metrics,
    answer: (next: Answer) => void (answer = next),
    loads: () => loads,
    has: (kid: string) => keySet.find(kid, 'RS256').kind,
    pass: (ms: number) => vi.advanceTimersByTimeAsync(ms),
  };
}

const down = new Error('connection refused');

describe('the keys of an issuer', () => {
  it('are loaded before they are needed', async () => {
    const { keySet, has } = remote();
    expect(keySet.isUsable()).toBe(false);
    expect(has('one')).toBe('unavailable');
    expect(keySet.state()).toMatchObject({ state: 'loading' });
    await keySet.start();
    expect(has('one')).toBe('found');
    expect(keySet.state()).toEqual({ state: 'fresh', keys: 1, ageSeconds: 0, problem: undefined });
  });

  it('are refreshed in the background, well before their time is over', async () => {
    const { keySet, loads, pass } = remote();
    await keySet.start();
    await pass(4 * minute);
    expect(loads()).toBe(1);
    await pass(0.5 * minute);
    expect(loads()).toBe(2);
    await pass(50 * minute);
    expect(loads()).toBeGreaterThanOrEqual(12);
    keySet.stop();
  });

  it('rotate without a failed request: the new key is used at once, the old as long as it is published', async () => {
    const { keySet, answer, has, pass } = remote();
    await keySet.start();
    answer(jwkSetOf(one, two));
    await pass(5 * minute);
    expect([has('one'), has('two')]).toEqual(['found', 'found']);
    answer(jwkSetOf(two));
    await pass(5 * minute);
    expect([has('one'), has('two')]).toEqual(['unknown', 'found']);
  });

  it('are relied on only as long as they are in the set: a removed one for at most the refresh interval', async () => {
    const { keySet, answer, pass } = remote();
    await keySet.start();
    const found = keySet.find('one', 'RS256');
    if (found.kind !== 'found') throw new Error('no key');
    await pass(1);
    answer(jwkSetOf(two));
    await pass(5 * minute - 1);
    expect(keySet.vouchesFor(found.key)).toBe(false);
  });
});

describe('a server that fails', () => {
  it.each([
    ['does not answer', down],
    ['answers with no JSON', '<html>'],
    ['answers with an empty set', '{"keys":[]}'],
    ['answers with a private key', JSON.stringify({ keys: [one.privateKey.export({ format: 'jwk' })] })],
    ['answers with a symmetric key', '{"keys":[{"kty":"oct","k":"AAAA"}]}'],
    ['answers with unusable keys', '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}'],
  ])('leaves the last good set in use when it %s', async (_, failure) => {
    const { keySet, answer, has, pass, metrics } = remote();
    await keySet.start();
    answer(failure);
    await pass(6 * minute);
    expect(has('one')).toBe('found');
    expect(keySet.state()).toMatchObject({ state: 'stale', keys: 1 });
    expect(keySet.state().problem).toBeTypeOf('string');
    const { values } = await metrics.jwksRefreshes.get();
    expect(values.map(({ labels }) => labels.result)).toEqual(['ok', 'failed']);
  });

  it('shows the age of the set in use in the metrics', async () => {
    const { keySet, answer, pass, metrics } = remote();
    await keySet.start();
    answer(down);
    await pass(20 * minute);
    const age = (await metrics.jwksAge.get()).values[0];
    expect(age?.labels.issuer).toBe(testIssuer);
    expect(age?.value).toBeCloseTo(1200, 0);
  });

  it('gives up the last good set when that is too old', async () => {
    const { keySet, answer, has, pass } = remote();
    await keySet.start();
    answer(down);
    await pass(60 * minute);
    expect(has('one')).toBe('found');
    await pass(1000);
    expect(has('one')).toBe('unavailable');
    expect(keySet.isUsable()).toBe(false);
    expect(keySet.state()).toMatchObject({ state: 'unavailable' });
    answer(jwkSetOf(one));
    await pass(6 * minute);
    expect(has('one')).toBe('found');
  });

  it('is asked again with growing pauses, never more often than the cool-down', async () => {
    const { keySet, answer, loads, pass } = remote();
    await keySet.start();
    answer(down);
    await pass(4.25 * minute);
    expect(loads()).toBe(2);
    const attempts: number[] = [];
    for (let second = 0; second < 300; second += 1) {
      const before = loads();
      await pass(1000);
      if (loads() > before) attempts.push(second);
    }
    const pauses = attempts.map((at, index) => at - (attempts[index - 1] ?? 0));
    expect(pauses.every((pause) => pause >= 10)).toBe(true);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(attempts.length).toBeLessThanOrEqual(5);
  });

  it('from the start, it is asked again soon, and its keys are used once it answers', async () => {
    const { keySet, answer, has, pass } = remote();
    answer(down);
    await keySet.start();
    expect(keySet.state()).toMatchObject({ state: 'unavailable', keys: 0, ageSeconds: undefined });
    answer(jwkSetOf(one));
    await pass(600);
    expect(has('one')).toBe('found');
  });

  it('from the start and for long, it is asked every ten seconds or so', async () => {
    const { keySet, answer, loads, pass } = remote();
    answer(down);
    await keySet.start();
    await pass(10 * minute);
    expect(loads()).toBeGreaterThan(50);
    expect(loads()).toBeLessThan(70);
  });
});

describe('an unknown key', () => {
  it('causes a refresh at once, and at most one in the cool-down', async () => {
    const { keySet, answer, has, loads, pass } = remote();
    await keySet.start();
    answer(jwkSetOf(one, two));
    await keySet.refreshForUnknownKey();
    expect(has('two')).toBe('found');
    expect(keySet.refreshForUnknownKey()).toBeUndefined();
    await pass(9999);
    expect(keySet.refreshForUnknownKey()).toBeUndefined();
    expect(loads()).toBe(2);
    await pass(1);
    await keySet.refreshForUnknownKey();
    expect(loads()).toBe(3);
  });

  it('causes no more while the server is down', async () => {
    const { keySet, answer, loads, pass } = remote();
    await keySet.start();
    answer(down);
    for (let second = 0; second < 60; second += 1) {
      await keySet.refreshForUnknownKey();
      await pass(1000);
    }
    expect(loads()).toBeLessThanOrEqual(7);
  });

  it('waits for the refresh under way while the server hangs; known keys do not', async () => {
    const { keySet, answer, has, loads } = remote();
    await keySet.start();
    const hanging = Promise.withResolvers<string>();
    answer(hanging.promise);
    const first = keySet.refreshForUnknownKey();
    expect(keySet.refreshForUnknownKey()).toBe(first);
    expect(has('one')).toBe('found');
    hanging.resolve(jwkSetOf(two));
    await first;
    expect([has('two'), loads()]).toEqual(['found', 2]);
  });
});

describe('a key newer than the question', () => {
  const waits = (keySet: ReturnType<typeof remote>['keySet'], signal = new AbortController().signal) =>
    keySet.findNewer('two', 'RS256', signal).then(({ kind }) => kind);

  it('is fetched at once when the cool-down is over', async () => {
    const { keySet, answer, loads } = remote();
    await keySet.start();
    answer(jwkSetOf(one, two));
    expect(await waits(keySet)).toBe('found');
    expect(loads()).toBe(2);
  });

  it('is waited for until the cool-down is over, with one fetch for all who wait', async () => {
    const { keySet, answer, loads, pass } = remote();
    await keySet.start();
    await keySet.refreshForUnknownKey();
    await pass(3000);
    answer(jwkSetOf(one, two));
    const all = Promise.all(Array.from({ length: 50 }, () => waits(keySet)));
    await pass(6999);
    expect(loads()).toBe(2);
    await pass(1);
    expect(new Set(await all)).toEqual(new Set(['found']));
    expect(loads()).toBe(3);
  });

  it('is not taken for absent because of a fetch that began before it was asked for', async () => {
    const { keySet, answer, pass } = remote();
    await keySet.start();
    const hanging = Promise.withResolvers<string>();
    answer(hanging.promise);
    void keySet.refreshForUnknownKey();
    await pass(100);
    const found = waits(keySet);
    answer(jwkSetOf(one, two));
    hanging.resolve(jwkSetOf(one));
    await pass(10_000);
    expect(await found).toBe('found');
  });

  it('is unknown once a newer set does not hold it', async () => {
    const { keySet } = remote();
    await keySet.start();
    expect(await waits(keySet)).toBe('unknown');
  });

  it('is asked for twice while the server fails, then cannot be had', async () => {
    const { keySet, answer, pass } = remote();
    await keySet.start();
    answer(down);
    const [failing, saved] = [waits(keySet), waits(keySet)];
    await pass(9999);
    answer(jwkSetOf(one, two));
    await pass(1);
    expect(await Promise.all([failing, saved])).toEqual(['found', 'found']);
    answer(down);
    const lost = keySet.findNewer('three', 'RS256', new AbortController().signal);
    await pass(30_000);
    expect((await lost).kind).toBe('unavailable');
  });

  it('is not waited for any more when the wait is ended, and then causes no fetch', async () => {
    const { keySet, loads, pass } = remote();
    await keySet.start();
    await keySet.refreshForUnknownKey();
    const end = new AbortController();
    const ended = waits(keySet, end.signal);
    end.abort();
    expect(await ended).toBe('unavailable');
    expect(await waits(keySet, end.signal)).toBe('unavailable');
    await pass(60_000);
    expect(loads()).toBe(2);
  });

  it('is fetched by the stop, whatever the cool-down, and then only for those who still ask', async () => {
    const { keySet, answer, loads, pass } = remote();
    await keySet.start();
    await keySet.refreshForUnknownKey();
    answer(jwkSetOf(one, two));
    const found = waits(keySet);
    keySet.stop();
    expect(await found).toBe('found');
    const late = keySet.findNewer('three', 'RS256', new AbortController().signal);
    await pass(249);
    expect(loads()).toBe(3);
    await pass(1);
    expect((await late).kind).toBe('unknown');
    await pass(60 * minute);
    expect(loads()).toBe(4);
  });

  it('is fetched after the stop for those who asked during another fetch', async () => {
    const { keySet, answer, pass } = remote();
    await keySet.start();
    const hanging = Promise.withResolvers<string>();
    answer(hanging.promise);
    void keySet.refreshForUnknownKey();
    await pass(100);
    const found = waits(keySet);
    keySet.stop();
    answer(jwkSetOf(one, two));
    hanging.resolve(jwkSetOf(one));
    await pass(250);
    expect(await found).toBe('found');
  });

  it('cannot be had after the stop when the server fails once', async () => {
    const { keySet, answer } = remote();
    await keySet.start();
    await keySet.refreshForUnknownKey();
    answer(down);
    const lost = waits(keySet);
    keySet.stop();
    expect(await lost).toBe('unavailable');
  });
});

describe('what is logged', () => {
  it('is a change of the keys, not every refresh', async () => {
    const { keySet, answer, log, pass } = remote();
    await keySet.start();
    await pass(30 * minute);
    answer(jwkSetOf(one, two));
    await pass(5 * minute);
    expect(log.lines().map(({ msg, count }) => [msg, count])).toEqual([
      ['keys loaded', 1],
      ['keys loaded', 2],
    ]);
  });

  it('is a key that is not used, and why', async () => {
    const { keySet, answer, log } = remote();
    answer(JSON.stringify({ keys: [one.jwk, { ...two.jwk, n: 'AQAB' }] }));
    await keySet.start();
    expect(log.lines()).toContainEqual(
      expect.objectContaining({ msg: 'a key of the set is not used', keyId: 'two' }),
    );
  });

  it('never is a private key that was published', async () => {
    const { keySet, answer, log } = remote();
    const secret = one.privateKey.export({ format: 'jwk' });
    answer(JSON.stringify({ keys: [secret] }));
    await keySet.start();
    expect(log.text()).toContain('rotate it, it is public now');
    expect(log.text()).not.toContain(secret.d);
  });
});

describe('after its stop', () => {
  it('nothing is fetched any more, not even by a refresh that was under way', async () => {
    const { keySet, answer, loads, pass } = remote();
    await keySet.start();
    const hanging = Promise.withResolvers<string>();
    answer(hanging.promise);
    const refresh = keySet.refreshForUnknownKey();
    keySet.stop();
    hanging.resolve(jwkSetOf(one));
    await refresh;
    await pass(60 * minute);
    expect(loads()).toBe(2);
  });
});
