import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { writeHead } from '../../src/revocation-log/head.ts';
import { logKeys, writeSentinel } from '../../src/revocation-log/keys.ts';
import type { RevocationFeed } from '../../src/revocation/feed.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { createRevocationFeed } from '../../src/revocation/redis-feed.ts';
import { createLog } from '../../src/runtime/log.ts';
import { createAuthorizerMetrics, createRegistry } from '../../src/runtime/metrics.ts';
import { eventually } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';

const issuer = 'https://id.example';
const keys = logKeys('curfew');

let server: RedisServer;
let client: Redis;

beforeAll(async () => {
  server = await startRedis();
  client = await openRedis({ url: server.url }, { connectionName: 'test' });
});

afterAll(async () => {
  client.disconnect();
  await server.stop();
});

/**
 * A complete log whose owner never raises the beat, as on a former master, so that it is never proven
 * current.
 */
async function makeSilentLog(covers: readonly string[] = [issuer]): Promise<void> {
  await client.flushall();
  const numbers = { epoch: 1, seq: 0, beat: 0, trimBelow: 1, retentionSeconds: 75 };
  await client.zadd(keys.log(1), 0, writeSentinel('owner', 1));
  await client.hset(keys.head, ...writeHead({ owner: 'owner', covers, truth: 'owner', ...numbers }));
}

const untilProven = (feed: RevocationFeed): Promise<unknown> =>
  eventually('it is proven', async () => {
    await client.hincrby(keys.head, 'beat', 1);
    return feed.status().stalenessMs === 0 ? true : undefined;
  });

/** A feed whose clock advances only when the test advances it. */
function startFeed(issuers: readonly string[] = [issuer]) {
  let nowMs = 0;
  let looks = 0;
  const feed = createRevocationFeed({
    redis: { url: server.url },
    logName: 'curfew',
    issuers: issuers.map((name) => ({ issuer: name, clockToleranceSeconds: 5 })),
    maxExposureMs: 30_000,
    maxEntries: 100,
    clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
    log: createLog({ program: 'feed', level: 'silent' }),
    metrics: createAuthorizerMetrics(createRegistry()),
    onEvent: () => (looks += 1),
  });
  const connections = async (): Promise<string[]> => {
    const list = String(await client.client('LIST'));
    return list
      .split('\n')
      .flatMap((line) => (line.includes('name=curfew-feed') ? [line.split(' ')[0] ?? ''] : []));
  };
  return {
    feed,
    pass: (ms: number): void => {
      nowMs += ms;
    },
    /** The name of the connection, after the feed could have closed it. */
    settled: async (): Promise<string> => {
      const before = looks;
      await eventually('the feed looks a few times', () => (looks >= before + 3 ? true : undefined));
      return eventually('it is connected', async () => {
        const found = await connections();
        return feed.status().connected && found.length === 1 ? found[0] : undefined;
      });
    },
    started: async (): Promise<void> => {
      await feed.start();
      onTestFinished(() => feed.stop());
    },
  };
}

it('a stopped feed does not close an ended connection, which would keep the process alive', async () => {
  await makeSilentLog();
  const { feed, settled } = startFeed();
  await feed.start();
  await settled();
  const states: string[] = [];
  const real = Redis.prototype.disconnect;
  const closing = vi.spyOn(Redis.prototype, 'disconnect').mockImplementation(function (this: Redis) {
    states.push(this.status);
    return real.call(this);
  });
  await feed.stop();
  closing.mockRestore();
  expect(states).toEqual(['ready']);
});

describe('a connection over which the log is not proven current', () => {
  it('is closed after 15 s, the next one after 30 s, and so on up to two minutes', async () => {
    await makeSilentLog();
    const { started, settled, pass } = startFeed();
    await started();
    let connection = await settled();
    for (const patienceMs of [15_000, 30_000, 60_000, 120_000, 120_000]) {
      pass(patienceMs - 1);
      expect(await settled()).toBe(connection);
      pass(1);
      const next = await settled();
      expect(next).not.toBe(connection);
      connection = next;
    }
  }, 60_000);

  it('gets 15 s again after a proof, counted from that proof', async () => {
    await makeSilentLog();
    const { feed, started, settled, pass } = startFeed();
    await started();
    let connection = await settled();
    for (const patienceMs of [15_000, 30_000]) {
      pass(patienceMs);
      const next = await settled();
      expect(next).not.toBe(connection);
      connection = next;
    }
    await untilProven(feed);
    // A live connection stays open. Without the proof, the third connection would have had a minute.
    pass(30_000);
    expect(await settled()).toBe(connection);
    expect(feed.status().state).toBe('live');
    pass(1);
    expect(await settled()).not.toBe(connection);
  }, 60_000);

  it('stays open, however old, while a new epoch is unread and the last proof is recent', async () => {
    await makeSilentLog();
    const { feed, started, settled, pass } = startFeed();
    await started();
    const connection = await settled();
    await untilProven(feed);
    pass(20_000);
    await untilProven(feed);
    // An epoch whose log is absent can't be read.
    await client.hset(keys.head, 'epoch', 2);
    await eventually('it knows', () => (feed.status().state === 'syncing' ? true : undefined));
    expect(await settled()).toBe(connection);
    pass(15_000);
    expect(await settled()).not.toBe(connection);
  }, 60_000);
});

describe('a connection over which the log is proven current', () => {
  const other = 'https://other.example';

  /** The owner raises the beat, for longer than a connection without a proof would stay open. */
  async function connectionsOf({ settled, pass }: ReturnType<typeof startFeed>): Promise<Set<string>> {
    const connections = new Set([await settled()]);
    for (const passMs of [16_000, 0]) {
      for (const _ of ['sighted', 'proven']) {
        await client.hincrby(keys.head, 'beat', 2);
        connections.add(await settled());
      }
      pass(passMs);
    }
    return connections;
  }

  it('stays open while the log does not cover one issuer, or any issuer', async () => {
    for (const covers of [[issuer], ['https://elsewhere.example']]) {
      await makeSilentLog(covers);
      const started = startFeed([issuer, other]);
      await started.started();
      expect(await connectionsOf(started)).toHaveProperty('size', 1);
      await started.feed.stop();
    }
  }, 120_000);

  it('stays open while the log holds an event of a later version, for one issuer or for any', async () => {
    for (const iss of [other, undefined]) {
      await makeSilentLog([issuer, other]);
      await client.zadd(keys.log(1), 1, JSON.stringify({ v: 2, seq: 1, iss }));
      await client.hset(keys.head, 'seq', 1);
      const started = startFeed([issuer, other]);
      await started.started();
      expect(await connectionsOf(started)).toHaveProperty('size', 1);
      await started.feed.stop();
    }
  }, 120_000);

  it('is closed when the owner stops raising the beat, whichever issuers are covered', async () => {
    await makeSilentLog(['https://elsewhere.example']);
    const { started, settled, pass } = startFeed([issuer, other]);
    await started();
    const connection = await settled();
    pass(15_000);
    expect(await settled()).not.toBe(connection);
  }, 60_000);
});
