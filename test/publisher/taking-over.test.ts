import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { runCommand, type LogAccess } from '../../src/publisher/command-runner.ts';
import type { LogReply, Takeover } from '../../src/publisher/log-writes.ts';
import { OutboxLease } from '../../src/publisher/outbox-lease.ts';
import type { OutboxTables } from '../../src/publisher/outbox-tables.ts';
import { outboxMigrations } from '../../src/publisher/outbox.ts';
import { createPublisher, type Publisher } from '../../src/publisher/publisher.ts';
import { RedisLog } from '../../src/publisher/redis-log.ts';
import { createOwnerlessLog, publishScript } from '../../src/publisher/ownerless-log.ts';
import { migrate, openDatabase, type Database } from '../../src/database/database.ts';
import { logKeys } from '../../src/revocation-log/keys.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createLog } from '../../src/runtime/log.ts';
import { createOwnerMetrics, createRegistry } from '../../src/runtime/metrics.ts';
import { neverPrinted } from '../output.ts';
import { eventually, repository } from '../processes.ts';
import { follow, type Follower } from './following.ts';
import { readHeadOf, readMembersOf } from './log-contents.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';

const issuer = 'https://id.example/realms/a';
const other = 'https://id.example/realms/b';
const ownerSettings = { owner: 'the-owner', covers: [issuer, other], retentionSeconds: 75 };

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

async function makeLog(): Promise<string> {
  const logName = `taken-${(logs += 1)}`;
  const log = { logName, issuers: [issuer, other], clockToleranceMs: 0, maxTokenLifetimeMs: 60_000 };
  expect(await createOwnerlessLog(client, log)).toMatchObject({ kind: 'created' });
  return logName;
}

const publish = (logName: string, ...events: { kind?: string; id: string }[]): Promise<unknown> =>
  client.eval(
    publishScript,
    1,
    logKeys(logName).head,
    ...events.map((event) => JSON.stringify({ iss: issuer, kind: 'session', ...event })),
  );

async function publishSessions(logName: string, count: number): Promise<void> {
  for (let first = 0; first < count; first += 500)
    await publish(
      logName,
      ...Array.from({ length: Math.min(500, count - first) }, (_, index) => ({ id: `s-${first + index}` })),
    );
}

/** Writes an event of a later version without the script, which accepts only its own version. */
async function appendLater(logName: string, event: object): Promise<void> {
  const { head, log } = logKeys(logName);
  const { epoch, seq } = await readHeadOf(client, logName);
  await client.zadd(log(epoch), seq + 1, JSON.stringify({ ...event, seq: seq + 1 }));
  await client.hset(head, 'seq', seq + 1);
}

async function openOutbox(): Promise<{ database: Database; lease: OutboxLease }> {
  const database = openDatabase({ sqlite: ':memory:' });
  await migrate(database, [outboxMigrations]);
  const lease = new OutboxLease({ database, holder: 'us', retentionSeconds: 75 });
  await lease.owner(ownerSettings.owner);
  return { database, lease };
}

const recorded = ({ db }: Database) =>
  db.$extendTables<OutboxTables>().selectFrom('revocation_outbox').selectAll().orderBy('id').execute();

async function startOwner(logName: string, issuers: readonly string[]): Promise<Publisher> {
  const { database } = await openOutbox();
  const publisher = createPublisher({
    database,
    redis: { url: server.url },
    logName,
    issuers: issuers.map((name) => ({ issuer: name, clock: 'foreign', maxTokenLifetimeMs: 60_000 })),
    clockToleranceMs: 5000,
    clock: systemClock,
    log: createLog({ program: 'owner', level: 'silent' }),
    metrics: createOwnerMetrics(createRegistry()),
  });
  await publisher.start();
  onTestFinished(async () => {
    await publisher.stop();
    await database.close();
  });
  return publisher;
}

const untilLeading = (owner: Publisher): Promise<unknown> =>
  eventually('the owner leads', () => (owner.status().role === 'leading' ? true : undefined), 30_000);

/**
 * Publishes events without a pause until the log has an owner. Each event is either acknowledged or refused.
 */
async function writeWithoutEnd(logName: string, name: string, acknowledged: string[]): Promise<number> {
  const writer = await openRedis({ url: server.url }, { connectionName: 'test' });
  onTestFinished(() => writer.disconnect());
  let held = 0;
  for (let number = 0; ; number += 1) {
    const ids = Array.from({ length: 5 }, (_, index) => `${name}-${number}-${index}`);
    const events = ids.map((id) => JSON.stringify({ iss: issuer, kind: 'session', id }));
    try {
      await writer.eval(publishScript, 1, logKeys(logName).head, ...events);
      acknowledged.push(...ids);
    } catch (thrown) {
      const message = thrown instanceof Error ? thrown.message : '';
      if (message.startsWith('OWNED ')) return held;
      if (!message.startsWith('HELD ')) throw thrown;
      held += 1;
    }
  }
}

describe('an owner that finds a log without an owner', () => {
  it('takes it over from writers that never pause, with every acknowledged event', async () => {
    const logName = await makeLog();
    await publish(logName, { kind: 'key', id: 'leaked' }, { kind: 'subject', id: 'ada' });
    await publishSessions(logName, 3000);
    const follower = await follow(server.url, logName, [issuer]);
    const before = await readHeadOf(client, logName);
    const acknowledged: string[] = [];
    const writing = ['x', 'y', 'z'].map((name) => writeWithoutEnd(logName, name, acknowledged));
    await eventually('some are published', () => (acknowledged.length > 50 ? true : undefined));
    const owner = await startOwner(logName, [issuer, other]);
    await untilLeading(owner);
    await Promise.all(writing);

    const after = await readHeadOf(client, logName);
    expect(after).toMatchObject({ truth: 'owner', owner: owner.status().owner, covers: [issuer, other] });
    expect(after.epoch).toBeGreaterThan(before.epoch);
    // The owner's log survives the loss of all data in Redis, which a log without an owner doesn't.
    await client.del(logKeys(logName).head, logKeys(logName).log(after.epoch));
    await eventually('the log is back', async () =>
      (await client.exists(logKeys(logName).head)) === 1 ? true : undefined,
    );
    const later = await follow(server.url, logName, [issuer]);
    for (const one of [follower, later]) {
      await eventually('it is live', () => (one.feed.status().state === 'live' ? true : undefined));
      const issuedAt = Date.now() / 1000 + 2;
      const token = { issuedAt, expiresAt: issuedAt + 1 };
      expect(one.evaluate({ ...token, keyNames: ['leaked'] })).toBe('key');
      expect(acknowledged.filter((session) => one.evaluate({ ...token, session }) !== 'session')).toEqual([]);
    }
  }, 60_000);

  it('does not touch a log that also covers other issuers', async () => {
    const logName = await makeLog();
    const owner = await startOwner(logName, [issuer]);
    await eventually('it is refused', () => (owner.status().role === 'refused' ? true : undefined));
    expect(owner.status().problem).toContain((await readHeadOf(client, logName)).owner);
    expect(await publish(logName, { id: 'still' })).toBe(3);
  });

  it('records each event once, however often it retries', async () => {
    const logName = await makeLog();
    await publishSessions(logName, 1500);
    const head = await readHeadOf(client, logName);
    // The log has a gap, so the read fails after its first page.
    await client.zremrangebyscore(logKeys(logName).log(head.epoch), 10, 10);
    const { database, lease } = await openOutbox();
    onTestFinished(() => database.close());
    await lease.take(undefined);
    const redis = accessTo(logName);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const reply = await runCommand({ kind: 'import', head }, { lease, redis });
      expect(reply).toEqual({ kind: 'import', takeover: undefined });
    }
    const targets = (await recorded(database)).map(({ target }) => target);
    expect(targets.length).toBeGreaterThanOrEqual(1000);
    expect(new Set(targets).size).toBe(targets.length);
  });

  it('copies events that it does not understand unchanged, for sidecars that do', async () => {
    const logName = await makeLog();
    const doubting = await follow(server.url, logName, [issuer, other]);
    const at = Math.floor(Date.now() / 1000) - 100;
    const unknown = [
      { v: 1, iss: issuer, kind: 'device', id: 'd-1', at, model: 'x' },
      { v: 1, iss: issuer, kind: 'session', id: '', at },
      { v: 2, iss: other, kind: 'session', range: ['a', 'b'] },
    ];
    for (const event of unknown) await appendLater(logName, event);
    await publish(logName, { id: 'known' });
    const owner = await startOwner(logName, [issuer, other]);
    await untilLeading(owner);

    // First from the import, and then only from the database.
    for (let turn = 0; turn < 2; turn += 1) {
      const events = (await readMembersOf(client, logName)).map(({ seq, member }) => {
        const event: unknown = JSON.parse(member);
        expect(event).toMatchObject({ seq });
        return event;
      });
      for (const event of unknown)
        expect(events).toContainEqual({ ...event, seq: expect.any(Number) as number });
      const { epoch } = await readHeadOf(client, logName);
      await untilProven(logName, epoch, doubting);
      const unproven = [{ issuer: other, cause: 'not_understood' }];
      expect(doubting.feed.status()).toMatchObject({ unproven, epoch });
      await eventually('the other issuer is proven', () =>
        doubting.feed.status().state === 'live' ? true : undefined,
      );
      if (turn > 0) break;
      await client.del(logKeys(logName).head, logKeys(logName).log(epoch));
      await eventually('the log is back', async () =>
        (await client.exists(logKeys(logName).head)) === 1 ? true : undefined,
      );
    }
  }, 30_000);
});

/**
 * Waits until everything is proven for a sidecar of one issuer, from what another sidecar has seen as well.
 */
async function untilProven(logName: string, epoch: number, also: Follower): Promise<void> {
  const sure = await follow(server.url, logName, [issuer]);
  let seenBeat: number | undefined;
  await eventually('both have seen beats enough', () => {
    const status = also.feed.status();
    if (status.epoch !== epoch || status.applied === undefined || status.beat === undefined) return undefined;
    seenBeat ??= status.beat;
    const isProven = sure.feed.status().epoch === epoch && sure.feed.status().state === 'live';
    return isProven && status.beat >= seenBeat + 4 ? true : undefined;
  });
}

/** Gives access to the log as a connection does. @param before runs before each call */
const accessTo = (logName: string, before: () => Promise<unknown> = () => Promise.resolve()): LogAccess => {
  const log = new RedisLog({ client, logName, ...ownerSettings });
  return {
    use: async (call) => {
      await before();
      return call(log);
    },
  };
};

describe('an import', () => {
  /** An outbox whose lease the test holds, and an import into it. */
  async function importInto(logName: string, redis: LogAccess) {
    const { database, lease } = await openOutbox();
    onTestFinished(() => database.close());
    await lease.take(undefined);
    const head = await readHeadOf(client, logName);
    const reply = await runCommand({ kind: 'import', head }, { lease, redis });
    if (reply.kind !== 'import') throw new Error(reply.kind);
    return {
      takeover: reply.takeover,
      targets: new Set((await recorded(database)).map((row) => row.target)),
    };
  }

  const takeOver = (logName: string, takeover: Takeover): Promise<LogReply> => {
    const log = new RedisLog({ client, logName, ...ownerSettings });
    return log
      .seed({ epoch: 2, isFirst: true, firstSeq: 1, members: [], takeover })
      .then(() => log.switch({ epoch: 2, count: 0, takeover }));
  };

  it('misses nothing that is published or trimmed between any two of its steps', async () => {
    const logName = await makeLog();
    await publish(logName, { kind: 'key', id: 'leaked' });
    await publishSessions(logName, 4000);
    for (const id of ['turn', 'trim']) {
      await client.hincrby(logKeys(logName).head, 'clockMs', 200_000);
      await publish(logName, { id });
    }
    const trimmedBefore = (await readHeadOf(client, logName)).trimBelow;
    const acknowledged: string[] = [];
    let refused = 0;
    const redis = accessTo(logName, async () => {
      const id = `between-${acknowledged.length}`;
      await publish(logName, { id }).then(
        () => acknowledged.push(id),
        (thrown: unknown) => {
          if (!String(thrown).includes('HELD ')) throw thrown;
          refused += 1;
        },
      );
    });
    const { takeover, targets } = await importInto(logName, redis);
    const after = await readHeadOf(client, logName);
    expect(after.trimBelow).toBeGreaterThan(trimmedBefore);
    expect(takeover).toMatchObject({ owner: after.owner, seq: after.seq });
    expect(acknowledged.length).toBeGreaterThan(3);
    expect(refused).toBeGreaterThan(1);
    expect([...acknowledged, 'leaked', 'trim'].filter((id) => !targets.has(id))).toEqual([]);
  });

  it('ends with the log held for a few seconds; if no owner takes it over then, it can be written again', async () => {
    const logName = await makeLog();
    const { takeover } = await importInto(logName, accessTo(logName));
    await expect(publish(logName, { id: 'too-late' })).rejects.toThrow(/^HELD /);
    const left = await client.pttl(`{${logName}}:hold`);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(5000);
    await client.del(`{${logName}}:hold`);
    if (takeover === undefined) throw new Error('it could not be read');
    // Nothing was written meanwhile, but the hold doesn't prove it.
    expect(await takeOver(logName, takeover)).toMatchObject({ status: 'owner' });
    expect(await publish(logName, { id: 'again' })).toBe(3);
  });

  it('can be used only by the holder of the log, and only if nobody bypassed the script', async () => {
    const logName = await makeLog();
    const { takeover } = await importInto(logName, accessTo(logName));
    if (takeover === undefined) throw new Error('it could not be read');
    const second = await importInto(logName, accessTo(logName));
    expect(second.takeover).toBeUndefined();
    expect(await takeOver(logName, { ...takeover, hold: 'another' })).toMatchObject({ status: 'owner' });
    await appendLater(logName, { v: 1, iss: issuer, kind: 'session', id: 'past', at: 1 });
    expect(await takeOver(logName, takeover)).toMatchObject({ status: 'owner' });
    const found = { ...takeover, seq: takeover.seq + 1 };
    expect(await takeOver(logName, found)).toMatchObject({ status: 'ok' });
    await expect(publish(logName, { id: 'too-late' })).rejects.toThrow(/^OWNED /);
  });

  it.each([0, 1])(
    'starts again when Redis lost entries meanwhile and got others in their place, and %i more',
    async (more) => {
      const logName = await makeLog();
      await publish(logName, { id: 'a' }, { id: 'b' });
      const { epoch, seq } = await readHeadOf(client, logName);
      let calls = 0;
      const redis = accessTo(logName, async () => {
        calls += 1;
        if (calls !== 2) return;
        // The log was read, but isn't held yet.
        await client.zremrangebyscore(logKeys(logName).log(epoch), seq - 1, seq);
        await client.hset(logKeys(logName).head, 'seq', seq - 2);
        for (let count = 0; count < 2 + more; count += 1) await publish(logName, { id: `other-${count}` });
      });
      expect((await importInto(logName, redis)).takeover).toBeUndefined();
      await client.del(`{${logName}}:hold`);
      const { takeover, targets } = await importInto(logName, accessTo(logName));
      expect(takeover).toMatchObject({ seq: seq + more });
      expect(targets).toContain('other-0');
    },
  );

  it('needs only the permissions that are documented for an owner', async () => {
    const logName = await makeLog();
    await publishSessions(logName, 1200);
    neverPrinted('the-password-of-an-owner');
    const operating = readFileSync(join(repository, 'docs', 'operating.md'), 'utf8');
    const [, documented = ''] = /^ACL SETUSER curfew-identity on >PASSWORD (.+)$/m.exec(operating) ?? [];
    const rights = documented
      .replaceAll('{curfew}', `{${logName}}`)
      .split(' ')
      // Exists since Redis 7.2.
      .filter((right) => right !== '+client|setinfo');
    await client.call('ACL', ['SETUSER', 'owner', 'reset', 'on', '>the-password-of-an-owner', ...rights]);
    const url = `redis://owner:the-password-of-an-owner@127.0.0.1:${server.port}`;
    const limited = await openRedis({ url }, { connectionName: 'test' });
    onTestFinished(() => limited.disconnect());
    const log = new RedisLog({ client: limited, logName, ...ownerSettings });
    const { takeover } = await importInto(logName, { use: (call) => call(log) });
    if (takeover === undefined) throw new Error('it could not be read');
    await log.seed({ epoch: 2, isFirst: true, firstSeq: 1, members: [], takeover });
    expect(await log.switch({ epoch: 2, count: 0, takeover })).toMatchObject({ status: 'ok' });
  });

  it('gives up when its hold expires before everything is read', async () => {
    const logName = await makeLog();
    let calls = 0;
    const redis = accessTo(logName, () => {
      calls += 1;
      // The first call reads the log, the second starts the hold, and the others read the rest.
      return calls <= 2 ? publish(logName, { id: `s-${calls}` }) : client.del(`{${logName}}:hold`);
    });
    expect((await importInto(logName, redis)).takeover).toBeUndefined();
  });

  it('has its hold prolonged by the seed that follows', async () => {
    const logName = await makeLog();
    const { takeover } = await importInto(logName, accessTo(logName));
    await client.pexpire(`{${logName}}:hold`, 2000);
    const log = new RedisLog({ client, logName, ...ownerSettings });
    await log.seed({ epoch: 2, isFirst: true, firstSeq: 1, members: [], takeover });
    expect(await client.pttl(`{${logName}}:hold`)).toBeGreaterThan(2000);
  });

  it('gives up when it loses the lease', async () => {
    const logName = await makeLog();
    await publishSessions(logName, 1500);
    const { database, lease } = await openOutbox();
    onTestFinished(() => database.close());
    await lease.take(undefined);
    const head = await readHeadOf(client, logName);
    let pages = 0;
    const tables = database.db.$extendTables<OutboxTables>();
    const redis = accessTo(logName, async () => {
      pages += 1;
      await tables.updateTable('revocation_lease').set({ holder: 'them' }).execute();
    });
    expect(await runCommand({ kind: 'import', head }, { lease, redis })).toMatchObject({
      takeover: undefined,
    });
    expect(pages).toBe(1);
    expect(await client.exists(`{${logName}}:hold`)).toBe(0);
  });

  it('does not start with more than a million entries', async () => {
    const logName = await makeLog();
    await client.hset(logKeys(logName).head, 'seq', 1_000_002);
    let calls = 0;
    const { takeover } = await importInto(
      logName,
      accessTo(logName, () => Promise.resolve((calls += 1))),
    );
    expect({ takeover, calls }).toEqual({ takeover: undefined, calls: 0 });
  });
});
