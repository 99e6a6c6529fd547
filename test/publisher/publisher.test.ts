import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { outboxMigrations, type RevocationRequest } from '../../src/publisher/outbox.ts';
import { createPublisher, type Publisher } from '../../src/publisher/publisher.ts';
import { migrate, openDatabase, type Database } from '../../src/database/database.ts';
import { revocationKinds } from '../../src/revocation-log/event.ts';
import type { FeedEvent, RevocationFeed } from '../../src/revocation/feed.ts';
import type { RedisOptions } from '../../src/redis/connection.ts';
import { createRevocationFeed } from '../../src/revocation/redis-feed.ts';
import type { Revocable, RevocationFinding } from '../../src/revocation/revocable.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createLog, type Log } from '../../src/runtime/log.ts';
import { createAuthorizerMetrics, createOwnerMetrics, Registry } from '../../src/runtime/metrics.ts';
import { secretFromFile, secretFromText } from '../../src/runtime/secret.ts';
import { outputFile } from '../output.ts';
import { eventually } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';

const issuer = 'https://identity.test';
const maxExposureMs = 30_000;
const clockToleranceSeconds = 5;

async function ownRedis(args: readonly string[] = []): Promise<RedisServer> {
  const redis = await startRedis(args);
  onTestFinished(() => redis.stop());
  return redis;
}

function logTo(name: string): { log: Log; lines: string[] } {
  const file = outputFile(name);
  const lines: string[] = [];
  const write = (line: string): void => {
    lines.push(line);
    appendFileSync(file, line);
  };
  return { log: createLog({ program: name, level: 'debug', destination: { write } }), lines };
}

type Owner = {
  readonly publisher: Publisher;
  readonly database: Database;
  readonly lines: string[];
  record(...events: readonly RevocationRequest[]): Promise<number[]>;
};

async function startOwner(
  redis: RedisOptions,
  options: { file?: string; owner?: string; isStarted?: boolean } = {},
): Promise<Owner> {
  const database = openDatabase({ sqlite: options.file ?? join(temporaryDirectory(), 'owner.db') });
  await migrate(database, [outboxMigrations]);
  const { log, lines } = logTo('owner');
  const publisher = createPublisher({
    database,
    redis,
    logName: 'curfew',
    ...(options.owner === undefined ? {} : { owner: options.owner }),
    issuers: [{ issuer, clock: 'own', maxTokenLifetimeMs: 60_000 }],
    clockToleranceMs: clockToleranceSeconds * 1000,
    clock: systemClock,
    log,
    metrics: createOwnerMetrics(new Registry()),
  });
  if (options.isStarted !== false) await publisher.start();
  onTestFinished(async () => {
    await publisher.stop();
    await database.close();
  });
  return {
    publisher,
    database,
    lines,
    record: async (...events) => {
      const ids = await database.db.transaction().execute((trx) => publisher.recordEvents(trx, events));
      publisher.wake();
      return ids;
    },
  };
}

const leads = ({ publisher }: Owner): Promise<true> =>
  eventually(
    `leads: ${publisher.status().problem ?? ''}`,
    () => (publisher.status().role === 'leading' ? true : undefined),
    15_000,
  );

type Sidecar = {
  readonly feed: RevocationFeed;
  readonly lines: string[];
  readonly seen: FeedEvent[];
  evaluate(token?: Partial<Revocable>): RevocationFinding;
};

async function startSidecar(redis: RedisOptions): Promise<Sidecar> {
  const { log, lines } = logTo('sidecar');
  const seen: FeedEvent[] = [];
  const feed = createRevocationFeed({
    redis,
    logName: 'curfew',
    issuers: [{ issuer, clockToleranceSeconds }],
    maxExposureMs,
    maxEntries: 1000,
    clock: systemClock,
    log,
    metrics: createAuthorizerMetrics(new Registry()),
    onEvent: (event) => seen.push(event),
  });
  await feed.start();
  onTestFinished(async () => {
    await feed.stop();
  });
  const evaluate = (token: Partial<Revocable> = {}): RevocationFinding => {
    const issuedAt = Math.floor(Date.now() / 1000) - 40;
    const whole = {
      issuer,
      subject: 'alice',
      session: 's',
      tokenId: 't',
      clientIds: ['web'],
      keyNames: ['k'],
      issuedAt,
      expiresAt: issuedAt + 60,
    };
    return feed.revocations.evaluate(
      { ...whole, ...token },
      { maxExposureMs, clockToleranceSeconds },
      Date.now(),
    );
  };
  return { feed, lines, seen, evaluate };
}

const live = async ({ feed }: Sidecar): Promise<void> => {
  expect(await feed.waitForSync(15_000)).toBe(true);
};

const session = (id: string): RevocationRequest => ({ iss: issuer, kind: 'session', id, reason: 'logout' });

describe('a revocation', () => {
  it('of each kind gets from the database to the decision', async () => {
    const redis = await ownRedis();
    const owner = await startOwner(redis);
    const sidecar = await startSidecar(redis);
    await live(sidecar);
    const names = {
      session: 'the session',
      token: 'the token',
      subject: 'bob',
      client: 'app',
      key: 'leaked',
      issuer,
    };
    const claims = {
      session: { session: names.session },
      token: { tokenId: names.token },
      subject: { subject: names.subject },
      client: { clientIds: [names.client] },
      key: { keyNames: [names.key] },
      issuer: {},
    };
    for (const kind of revocationKinds.toSorted((one) => (one === 'issuer' ? 1 : -1))) {
      expect(sidecar.evaluate(claims[kind])).toEqual({ kind: 'clear' });
      const ids = await owner.record({ iss: issuer, kind, id: names[kind], reason: 'test' });
      expect(await owner.publisher.waitUntilPublished(ids, 5000)).toBe(true);
      await eventually(`${kind} is refused`, () =>
        sidecar.evaluate(claims[kind]).kind === 'revoked' ? true : undefined,
      );
      expect(sidecar.evaluate(claims[kind])).toMatchObject({ by: kind, reason: 'test' });
    }
    const { entries, lastEvents } = sidecar.feed.status();
    expect(entries).toEqual({ session: 1, token: 1, subject: 1, client: 1, issuer: 1, key: 1 });
    expect(lastEvents[0]).toMatchObject({ kind: 'issuer', issuer, reason: 'test' });
    expect(JSON.stringify(sidecar.feed.status())).not.toContain('the session');
  });

  it('that was recorded while no publisher ran is published by the next one that starts', async () => {
    const redis = await ownRedis();
    const file = join(temporaryDirectory(), 'owner.db');
    const before = await startOwner(redis, { file, isStarted: false });
    await before.record(session('earlier'));
    await leads(await startOwner(redis, { file }));
    const sidecar = await startSidecar(redis);
    await live(sidecar);
    expect(sidecar.evaluate({ session: 'earlier' })).toMatchObject({ kind: 'revoked' });
  });

  it('is published by the leading replica, even if another one recorded it', async () => {
    const redis = await ownRedis();
    const file = join(temporaryDirectory(), 'owner.db');
    const leading = await startOwner(redis, { file });
    await leads(leading);
    const standingBy = await startOwner(redis, { file });
    const ids = await standingBy.record(session('a'));
    expect(await standingBy.publisher.waitUntilPublished(ids, 5000)).toBe(true);
    expect(standingBy.publisher.status().role).toBe('following');
    await leading.publisher.stop();
    await leads(standingBy);
    expect(standingBy.publisher.status().owner).toBe(leading.publisher.status().owner);
  });

  it('that was recorded just before the stop is still published', async () => {
    const redis = await ownRedis();
    const owner = await startOwner(redis);
    await leads(owner);
    const sidecar = await startSidecar(redis);
    await live(sidecar);
    await owner.record(session('last'));
    await owner.publisher.stop();
    const refused = (): boolean => sidecar.evaluate({ session: 'last' }).kind === 'revoked';
    expect(await eventually('refused', () => refused() || undefined)).toBe(true);
  });
});

describe('a sidecar', () => {
  it('that finds no log reports what to do, and accepts young tokens only', async () => {
    const redis = await ownRedis();
    const sidecar = await startSidecar(redis);
    await eventually('the warning', () =>
      sidecar.lines.find((line) => line.includes('start identity or relay')),
    );
    expect(sidecar.feed.status()).toMatchObject({ state: 'starting', connected: true, stalenessMs: null });
    expect(sidecar.evaluate({ issuedAt: Math.floor(Date.now() / 1000) - 5 })).toEqual({ kind: 'clear' });
    expect(sidecar.evaluate()).toEqual({ kind: 'unproven' });
    expect(await sidecar.feed.waitForSync(10)).toBe(false);
    await startOwner(redis);
    await live(sidecar);
    expect(sidecar.feed.wasSynced()).toBe(true);
    expect(sidecar.evaluate()).toEqual({ kind: 'clear' });
  });

  it('that starts before Redis connects when Redis starts', async () => {
    const redis = await ownRedis();
    await redis.kill();
    const sidecar = await startSidecar(redis);
    await startOwner(redis);
    await eventually('it tried', () =>
      sidecar.lines.find((line) => line.includes('cannot connect to Redis')),
    );
    expect(sidecar.evaluate({ issuedAt: Math.floor(Date.now() / 1000) - 5 })).toEqual({ kind: 'clear' });
    await redis.start();
    await live(sidecar);
  });

  it('that connects to a replica disconnects from it', async () => {
    const master = await ownRedis();
    const replica = await ownRedis(['--replicaof', '127.0.0.1', String(master.port)]);
    await startOwner(master);
    const sidecar = await startSidecar(replica);
    await eventually('the warning', () => sidecar.lines.find((line) => line.includes('is a replica')));
    expect(sidecar.feed.status()).toMatchObject({ connected: false, stalenessMs: null });
    await eventually('the replica has the log', async () =>
      (await replica.command('EXISTS', '{curfew}:head')) === ':1\r\n' ? true : undefined,
    );
    await replica.command('REPLICAOF', 'NO', 'ONE');
    await eventually('it follows the log there', () => sidecar.feed.status().epoch);
  });

  it('reports events and its state to an observer', async () => {
    const redis = await ownRedis();
    const owner = await startOwner(redis);
    const sidecar = await startSidecar(redis);
    await live(sidecar);
    await owner.record(session('watched'));
    const event = await eventually('the event', () =>
      sidecar.seen.find((one) => one.kind === 'event' && one.event.id === 'watched'),
    );
    expect(event).toMatchObject({ seq: 1 });
    const status = sidecar.seen.findLast((one) => one.kind === 'status');
    expect(status).toMatchObject({
      status: { state: 'live', owner: owner.publisher.status().owner, epoch: 1 },
    });
  });
});

describe('an owner', () => {
  it('keeps its name over restarts, and starts a new epoch with each', async () => {
    const redis = await ownRedis();
    const file = join(temporaryDirectory(), 'owner.db');
    const first = await startOwner(redis, { file });
    await leads(first);
    const before = first.publisher.status();
    await first.publisher.stop();
    const again = await startOwner(redis, { file });
    await leads(again);
    expect(again.publisher.status()).toMatchObject({ owner: before.owner, epoch: (before.epoch ?? 0) + 1 });
  });

  it('does not touch the log of another owner, and reports that owner', async () => {
    const redis = await ownRedis();
    await leads(await startOwner(redis, { owner: 'the-first' }));
    const second = await startOwner(redis, { owner: 'the-second' });
    await eventually('it is refused', () =>
      second.publisher.status().role === 'refused' ? true : undefined,
    );
    expect(second.publisher.status().problem).toContain('the-first');
    expect(second.publisher.status().problem).toContain('choose another revocation.log');
  });

  it('rebuilds the log after Redis has lost everything', async () => {
    const redis = await ownRedis();
    const owner = await startOwner(redis);
    await leads(owner);
    await owner.publisher.waitUntilPublished(
      await owner.record(session('a'), { iss: issuer, kind: 'key', id: 'leaked' }),
      5000,
    );
    await redis.command('FLUSHALL');
    await eventually('a new epoch', () =>
      (owner.publisher.status().epoch ?? 0) > 1 && owner.publisher.status().role === 'leading'
        ? true
        : undefined,
    );
    const sidecar = await startSidecar(redis);
    await live(sidecar);
    expect(sidecar.evaluate({ session: 'a' })).toMatchObject({ by: 'session' });
    expect(sidecar.evaluate({ keyNames: ['leaked'] })).toMatchObject({ by: 'key' });
  });

  it('warns when Redis may evict the log', async () => {
    const redis = await ownRedis(['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru']);
    const owner = await startOwner(redis);
    const found = (): string | undefined =>
      owner.lines.find((line) => line.includes('set maxmemory-policy noeviction'));
    expect(await eventually('the warning', found)).toContain('allkeys-lru');
  });
});

describe('permissions in Redis', () => {
  const sidecarRights =
    '~{curfew}:* resetchannels &{curfew}:events +hello +client|setname +subscribe +ping +hmget +zrange +zscore +info';
  const publisherRights =
    '~{curfew}:* resetchannels &{curfew}:events +hello +client|setname +ping +info +eval +evalsha +hset +hdel +hget +hmget +zadd +zcard +zrange +zscore +zremrangebyscore +expire +publish';

  const user = async (redis: RedisServer, name: string, rights: string): Promise<void> => {
    const reply = await redis.command(
      'ACL',
      'SETUSER',
      name,
      'reset',
      'on',
      `>${name}-password`,
      ...rights.split(' '),
    );
    if (!reply.startsWith('+OK')) throw new Error(reply);
  };
  const as = (redis: RedisServer, name: string): RedisOptions => ({
    url: redis.url,
    username: name,
    password: secretFromText(`${name}-password`),
  });

  it('are sufficient as documented, for the sidecar and for the publisher', async () => {
    const redis = await ownRedis();
    await user(redis, 'sidecar', sidecarRights);
    await user(redis, 'publisher', publisherRights);
    const owner = await startOwner(as(redis, 'publisher'));
    await leads(owner);
    const sidecar = await startSidecar(as(redis, 'sidecar'));
    await live(sidecar);
    await owner.record(session('a'));
    await eventually('refused', () =>
      sidecar.evaluate({ session: 'a' }).kind === 'revoked' ? true : undefined,
    );
    expect(await redis.command('ACL', 'LOG')).toBe('*0\r\n');
  });

  it('are checked before anything is written, and the missing ones are named', async () => {
    const redis = await ownRedis();
    await user(redis, 'publisher', publisherRights.replace(' +publish', ''));
    const owner = await startOwner(as(redis, 'publisher'));
    const problem = await eventually('the problem', () => owner.publisher.status().problem);
    expect(problem).toContain('lacks rights: PUBLISH: ');
    expect(await redis.command('EXISTS', '{curfew}:head')).toBe(':0\r\n');
    await user(redis, 'publisher', publisherRights);
    await leads(owner);
  });

  it('do not leak: a wrong password is not printed', async () => {
    const redis = await ownRedis();
    const sidecar = await startSidecar({
      url: redis.url,
      username: 'sidecar',
      password: secretFromText('wrong-password'),
    });
    const line = await eventually('the refusal', () =>
      sidecar.lines.find((one) => one.includes('WRONGPASS')),
    );
    expect(line).not.toContain('wrong-password');
  });

  it('come from a file that is read for each connection', async () => {
    const redis = await ownRedis();
    await user(redis, 'sidecar', sidecarRights);
    const path = join(temporaryDirectory(), 'password');
    writeFileSync(path, 'not yet');
    const sidecar = await startSidecar({
      url: redis.url,
      username: 'sidecar',
      password: secretFromFile(path),
    });
    await eventually('the refusal', () => sidecar.lines.find((one) => one.includes('WRONGPASS')));
    writeFileSync(path, 'sidecar-password\n');
    const connected = (): true | undefined => (sidecar.feed.status().connected ? true : undefined);
    expect(await eventually('connected', connected)).toBe(true);
  });
});
