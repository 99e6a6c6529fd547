import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  createOwnerlessLog,
  publishRevocations,
  publishScript,
  type NewLog,
  type PublishRequest,
} from '../../src/publisher/ownerless-log.ts';
import { writeHead, type Head } from '../../src/revocation-log/head.ts';
import { logKeys, writeSentinel } from '../../src/revocation-log/keys.ts';
import { logRetentionSeconds } from '../../src/publisher/retention.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { neverPrinted } from '../output.ts';
import { eventually } from '../processes.ts';
import { follow } from './following.ts';
import { readEventsOf, readHeadOf, type LoggedEvent } from './log-contents.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';

const issuer = 'https://id.example/realms/a';
const other = 'https://id.example/realms/b';

let server: RedisServer;
let client: Redis;
let logs = 0;

beforeAll(async () => {
  server = await startRedis();
  client = await openRedis({ url: server.url }, { connectionName: 'test' });
});

afterAll(async () => {
  client.disconnect();
  await server.stop();
});

/** A separate log for a test. Without tolerance, its cut-off affects no tokens of later seconds. */
async function makeLog(options: Partial<NewLog> = {}): Promise<string> {
  const log = {
    logName: `log-${(logs += 1)}`,
    issuers: [issuer, other],
    clockToleranceMs: 0,
    maxTokenLifetimeMs: 60_000,
    ...options,
  };
  expect(await createOwnerlessLog(client, log)).toMatchObject({ kind: 'created' });
  return log.logName;
}

const publish = (logName: string, ...events: Partial<PublishRequest>[]): Promise<number> =>
  publishRevocations(
    client,
    logName,
    events.map((event) => Object.assign({ iss: issuer, kind: 'session', id: 'some-session' }, event)),
  );

const headOf = (logName: string): Promise<Head> => readHeadOf(client, logName);
const eventsOf = (logName: string): Promise<LoggedEvent[]> => readEventsOf(client, logName);

describe('a log without an owner', () => {
  it('refuses the tokens that its creation cuts off, and then each kind that third-party code publishes', async () => {
    const logName = await makeLog();
    const follower = await follow(server.url, logName, [issuer, other]);
    const createdAt = Math.floor(Date.now() / 1000);
    expect(follower.evaluate({ issuedAt: createdAt - 10, expiresAt: createdAt + 10 })).toBe('issuer');

    const issuedAt = createdAt + 2;
    const fresh = { issuedAt, expiresAt: issuedAt + 30 };
    expect(follower.evaluate(fresh)).toBe('clear');
    await eventually('time passes the cut-off', () => (Date.now() / 1000 > issuedAt ? true : undefined));

    await publish(
      logName,
      { id: 'session-1', reason: 'logout' },
      { kind: 'token', id: 'jti-☃-😀' },
      { kind: 'subject', id: 'ada' },
      { kind: 'client', id: 'web' },
      { kind: 'key', id: 'leaked' },
    );
    await follower.untilRefused({ ...fresh, session: 'session-1' }, 'session');
    expect(follower.evaluate({ ...fresh, tokenId: 'jti-☃-😀' })).toBe('token');
    expect(follower.evaluate({ ...fresh, subject: 'ada' })).toBe('subject');
    expect(follower.evaluate({ ...fresh, clientIds: ['web'] })).toBe('client');
    expect(follower.evaluate({ ...fresh, keyNames: ['leaked'] })).toBe('key');
    expect(follower.evaluate({ ...fresh, issuer: other, session: 'session-1' })).toBe('clear');
    expect(follower.evaluate(fresh)).toBe('clear');

    await publish(logName, { kind: 'issuer' });
    await follower.untilRefused(fresh, 'issuer');
    expect(await follower.counted('malformed')).toBe(0);
    expect(follower.feed.status()).toMatchObject({ state: 'live', truth: 'redis', applied: 8 });
  });

  it('is created once, and created again when its entries vanished; readers then follow the new one', async () => {
    const logName = await makeLog();
    const log = { logName, issuers: [issuer], clockToleranceMs: 0, maxTokenLifetimeMs: 60_000 };
    const before = await headOf(logName);
    expect(await createOwnerlessLog(client, log)).toEqual({ kind: 'exists' });
    expect(await headOf(logName)).toEqual(before);

    const follower = await follow(server.url, logName, [issuer]);
    await client.del(logKeys(logName).log(before.epoch));
    await expect(publish(logName, {})).rejects.toMatchObject({ code: 'ERR_LOG_INVALID' });
    expect(await createOwnerlessLog(client, log)).toMatchObject({ kind: 'created', epoch: before.epoch + 1 });
    await publish(logName, { id: 'after' });
    await follower.untilRefused({ session: 'after', issuedAt: Date.now() / 1000 + 3 }, 'session');
    await eventually('the feed follows the new epoch', () =>
      follower.feed.status().epoch === before.epoch + 1 && follower.feed.status().state === 'live'
        ? true
        : undefined,
    );
  });

  it('limits cut-offs to the time of Redis plus the tolerance, whatever the caller says', async () => {
    const logName = await makeLog({ clockToleranceMs: 5000 });
    await publish(logName, { kind: 'subject', id: 'default' });
    await publish(logName, { kind: 'subject', id: 'past', at: 1_700_000_000.125 });
    await publish(logName, { kind: 'subject', id: 'future', at: 9_000_000_000 });
    const at = new Map((await eventsOf(logName)).map(({ event }) => [event.id, event.at]));
    const now = Date.now() / 1000;
    expect(at.get('past')).toBe(1_700_000_000.125);
    for (const id of ['default', 'future', issuer]) {
      expect(at.get(id)).toBeGreaterThan(now + 5 - 5);
      expect(at.get(id)).toBeLessThan(now + 5 + 0.1);
    }
  });

  it.each([
    ['no JSON', '{'],
    ['no JSON object', '"text"'],
    ['another version', { v: 2 }],
    ['an issuer it does not cover', { iss: 'https://else.example' }],
    ['no issuer', { iss: undefined }],
    ['an unknown kind', { kind: 'everyone' }],
    ['no id', { id: undefined }],
    ['an empty id', { id: '' }],
    ['an id of 257 UTF-16 units', { id: `${'😀'.repeat(128)}x` }],
    ['a negative time', { at: -1 }],
    ['a time in text', { at: '2026-01-01' }],
    ['milliseconds', { at: 1_732_450_000_123 }],
    ['a reason in prose', { reason: 'Logged out!' }],
  ])('refuses an event with %s, and all that came with it', async (_, wrong) => {
    const logName = await makeLog();
    const good = JSON.stringify({ iss: issuer, kind: 'session', id: '😀'.repeat(128) });
    const bad =
      typeof wrong === 'string'
        ? wrong
        : JSON.stringify({ iss: issuer, kind: 'session', id: 'some-session', ...wrong });
    const call = client.eval(publishScript, 1, logKeys(logName).head, good, bad);
    await expect(call).rejects.toThrow(/^BADEVENT event 2 /);
    expect(await headOf(logName)).toMatchObject({ seq: 2 });
    expect(await client.eval(publishScript, 1, logKeys(logName).head, good)).toBe(3);
  });

  it('accepts up to 500 events at once', async () => {
    const logName = await makeLog();
    const many = Array.from({ length: 501 }, (_, index) => ({ id: `session-${index}` }));
    await expect(publish(logName, ...many)).rejects.toMatchObject({ code: 'ERR_REVOCATION_INVALID' });
    await expect(publish(logName)).rejects.toMatchObject({ code: 'ERR_REVOCATION_INVALID' });
    expect(await publish(logName, ...many.slice(1))).toBe(502);
    expect(await eventsOf(logName)).toHaveLength(502);
  });

  it('is not written if it does not exist, or if it has an owner', async () => {
    await expect(publish('nowhere', {})).rejects.toMatchObject({
      code: 'ERR_LOG_INVALID',
      message: expect.stringContaining('curfew log create') as string,
    });
    await ownersLog('owned');
    const refused = {
      code: 'ERR_LOG_OWNED_BY_OTHER',
      message: expect.stringContaining('owner acme') as string,
    };
    await expect(publish('owned', {})).rejects.toMatchObject(refused);
    const log = { logName: 'owned', issuers: [issuer], clockToleranceMs: 0, maxTokenLifetimeMs: 1000 };
    expect(await createOwnerlessLog(client, log)).toEqual({ kind: 'exists' });
    expect(await headOf('owned')).toMatchObject({ owner: 'acme', truth: 'owner', seq: 0 });
  });

  it('can be written by a Redis user with the documented rights', async () => {
    const logName = await makeLog();
    neverPrinted('the-password-of-a-writer');
    const rights = [
      `~{${logName}}:*`,
      `&{${logName}}:events`,
      ...'+hello +ping +eval +evalsha +script|load +time +hmget +hget +hset +hlen'.split(' '),
      ...'+zadd +zcount +zrangebyscore +zremrangebyscore +publish'.split(' '),
    ];
    await client.call('ACL', [
      'SETUSER',
      'writer',
      'reset',
      'resetchannels',
      'on',
      '>the-password-of-a-writer',
      ...rights,
      // A command that ioredis sends itself.
      '+client|setname',
      '+info',
    ]);
    const url = `redis://writer:the-password-of-a-writer@127.0.0.1:${server.port}`;
    const writer = await openRedis({ url }, { connectionName: 'test' });
    onTestFinished(() => writer.disconnect());
    await pass(logName, 100_000);
    await publishRevocations(writer, logName, [{ iss: issuer, kind: 'key', id: 'leaked' }]);
    await pass(logName, 1_000_000);
    await publishRevocations(writer, logName, [{ iss: issuer, kind: 'session', id: 'one' }]);
    expect((await headOf(logName)).trimBelow).toBeGreaterThan(1);
    await client.del(logKeys(logName).head);
    await client.call('ACL', ['SETUSER', 'writer', '+del']);
    const log = { logName, issuers: [issuer], clockToleranceMs: 0, maxTokenLifetimeMs: 60_000 };
    expect(await createOwnerlessLog(writer, log)).toMatchObject({ kind: 'created' });
  });
});

/** Moves the log's own clock. */
const pass = (logName: string, ms: number): Promise<number> =>
  client.hincrby(logKeys(logName).head, 'clockMs', ms);

describe('trimming by the script', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('pass' as const), ms: fc.oneof(fc.nat(10_000), fc.nat(90_000)) }),
    fc.record({ kind: fc.constant('sessions' as const), count: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ kind: fc.constant('key' as const), id: fc.constantFrom('k1', 'k2', 'k3') }),
  );

  it('keeps every entry for one retention, every revoked key permanently, and other entries not much longer', async () => {
    const lifetime = { clockToleranceMs: 0, maxTokenLifetimeMs: 60_000 };
    const retentionMs = logRetentionSeconds(lifetime) * 1000;
    const generationMs = retentionMs + 60_000;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async (steps) => {
        const logName = await makeLog(lifetime);
        let [nowMs, number] = [0, 0];
        const published = new Map<string, number>();
        const keys = new Set<string>();
        for (const one of steps) {
          if (one.kind === 'pass') {
            nowMs += one.ms;
            await pass(logName, one.ms);
            continue;
          }
          const ids =
            one.kind === 'key' ? [one.id] : Array.from({ length: one.count }, () => `s${(number += 1)}`);
          await publish(
            logName,
            ...ids.map((id) => ({ kind: one.kind === 'key' ? 'key' : 'session', id }) as const),
          );
          for (const id of ids)
            if (one.kind === 'key') keys.add(id);
            else published.set(id, nowMs);

          const held = new Set((await eventsOf(logName)).map(({ event }) => event.id));
          const young = [...published].filter(([, atMs]) => nowMs - atMs <= retentionMs).map(([id]) => id);
          expect([...young, ...keys].filter((id) => !held.has(id))).toEqual([]);
        }
        // Each of the two calls ends a generation, so everything older was trimmed.
        for (let turn = 0; turn < 2; turn += 1) {
          await pass(logName, generationMs);
          await publish(logName, { id: `last-${turn}` });
        }
        const left = (await eventsOf(logName)).map(({ event }) => event.id);
        expect(left.filter((id) => published.has(id))).toEqual([]);
        expect(new Set(left.filter((id) => keys.has(id)))).toEqual(keys);
        expect(left.length).toBeLessThanOrEqual(2 + 2 * keys.size);
      }),
      { numRuns: 40 },
    );
  });

  it('does not happen early after a step of the clock of Redis', async () => {
    const logName = await makeLog({ maxTokenLifetimeMs: 1000 });
    const { head } = logKeys(logName);
    await publish(logName, { id: 'kept' });
    for (let step = 1; step <= 3; step += 1) {
      // The clock of Redis steps by an hour, a day and a month.
      await client.hincrby(head, 'seenMs', -3_600_000 * 24 ** step);
      await publish(logName, { id: `after-${step}` });
    }
    await client.hincrby(head, 'seenMs', 3_600_000);
    await publish(logName, { id: 'before' });
    expect(Number(await client.hget(head, 'clockMs'))).toBeLessThanOrEqual(3 * 5000 + 5000);
    expect((await eventsOf(logName)).map(({ event }) => event.id)).toContain('kept');
  });

  it('removes a long log in parts, and a sidecar that starts in between reads it completely', async () => {
    const logName = await makeLog();
    await publish(logName, { kind: 'key', id: 'leaked' });
    for (let call = 0; call < 12; call += 1)
      await publish(logName, ...Array.from({ length: 500 }, (_, index) => ({ id: `s-${call}-${index}` })));
    await pass(logName, 200_000);
    await publish(logName, { id: 'turn' });
    await pass(logName, 200_000);
    const sizes: number[] = [];
    for (let call = 0; call < 7; call += 1) {
      await publish(logName, { id: `late-${call}` });
      sizes.push((await eventsOf(logName)).length);
    }
    expect(sizes.slice(0, 2).map((size) => Math.round(size / 1000))).toEqual([5, 4]);
    expect(sizes.at(-1)).toBe(9);
    const follower = await follow(server.url, logName, [issuer]);
    const issuedAt = Date.now() / 1000 + 2;
    expect(follower.evaluate({ keyNames: ['leaked'], issuedAt, expiresAt: issuedAt + 1 })).toBe('key');
    expect(follower.evaluate({ session: 'late-0', issuedAt, expiresAt: issuedAt + 1 })).toBe('session');
  });
});

/** A log whose owner never raises the beat. */
async function ownersLog(logName: string): Promise<void> {
  const keys = logKeys(logName);
  const owner = 'acme';
  await client.zadd(keys.log(1), 0, writeSentinel(owner, 1));
  const numbers = { epoch: 1, seq: 0, beat: 0, trimBelow: 1, retentionSeconds: 75 };
  await client.hset(keys.head, ...writeHead({ owner, covers: [issuer], truth: 'owner', ...numbers }));
}

describe('an event that is published without the log', () => {
  const event = { v: 1, iss: issuer, kind: 'session', id: 'bare', at: 1_700_000_000 };

  it('is applied and counted for a log without an owner, and is in no log', async () => {
    const logName = await makeLog();
    const follower = await follow(server.url, logName, [issuer]);
    const issuedAt = Date.now() / 1000 + 2;
    await client.publish(logKeys(logName).events, JSON.stringify(event));
    await follower.untilRefused({ session: 'bare', issuedAt, expiresAt: issuedAt + 1 }, 'session');
    await eventually('it is counted', async () =>
      (await follower.counted('unlogged')) === 1 ? true : undefined,
    );
    expect(follower.feed.status()).toMatchObject({ seq: 2, applied: 2 });
    const later = await follow(server.url, logName, [issuer]);
    expect(later.evaluate({ session: 'bare', issuedAt, expiresAt: issuedAt + 1 })).toBe('clear');
  });

  it('is ignored and counted for a log with an owner', async () => {
    const logName = `owned-${(logs += 1)}`;
    await ownersLog(logName);
    // Without a beat, the feed can't become live.
    const beating = setInterval(() => void client.hincrby(logKeys(logName).head, 'beat', 1), 100);
    onTestFinished(() => clearInterval(beating));
    const follower = await follow(server.url, logName, [issuer]);
    await client.publish(logKeys(logName).events, JSON.stringify(event));
    await eventually('it is counted', async () =>
      (await follower.counted('ignored')) === 1 ? true : undefined,
    );
    expect(follower.evaluate({ session: 'bare' })).toBe('clear');
    expect(await follower.counted('unlogged')).toBe(0);
  });
});
