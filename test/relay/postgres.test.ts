import { rmSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type PostgresServer } from '../identity/postgres-server.ts';
import { eventually } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { testIssuer } from '../token/tokens.ts';
import { fusionAuthPost, logoutPost, setPost, webhookPost } from './deliveries.ts';
import { relayFolder, startRelay, type RelayFolder, type TestRelay } from './relay-server.ts';

// Two replicas of a relay on one PostgreSQL.

let postgres: PostgresServer;
let redis: RedisServer;
let connection: pg.Client;
const places: RelayFolder[] = [];
const relays: TestRelay[] = [];

const receivers = [
  { kind: 'set-push', path: '/events', issuer: testIssuer, audience: 'https://relay.test' },
  { kind: 'backchannel-logout', path: '/logout', issuer: testIssuer, audience: 'web' },
];

async function startReplica(database: string, overrides: Record<string, unknown> = {}): Promise<TestRelay> {
  const settings = {
    redis: { url: redis.url },
    database: { postgres: { url: database, poolSize: 8 } },
    ...overrides,
  };
  const place = await relayFolder(settings);
  places.push(place);
  const relay = await startRelay({}, place);
  relays.push(relay);
  return relay;
}

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
});
afterAll(async () => {
  await Promise.all(relays.map((relay) => relay.stop()));
  await connection.end();
  await redis.stop();
  await postgres.stop();
  for (const { folder } of places) rmSync(folder, { recursive: true, force: true });
});

const outbox = async (): Promise<{ kind: string; target: string; reason: string | null }[]> =>
  (await connection.query('select kind, target, reason from revocation_outbox order by id')).rows;

describe('two relays on one PostgreSQL', () => {
  it('record a delivery once, whichever relay receives it and however often', async () => {
    const database = await postgres.createDatabase();
    const [one, other] = await Promise.all([startReplica(database), startReplica(database)]);
    connection = new pg.Client({ connectionString: database });
    await connection.connect();
    await connection.query('delete from revocation_outbox');
    const posts = [
      setPost('ada'),
      logoutPost('session-1'),
      fusionAuthPost('session-2'),
      webhookPost({ kind: 'session', id: 'session-3' }),
    ];
    const answers = await Promise.all(
      posts.flatMap((post) =>
        Array.from({ length: 20 }, (_, turn) => (turn % 2 === 0 ? one : other).post(...post)),
      ),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202, 200, 204]));
    const recorded = await outbox();
    expect(recorded.map(({ target }) => target).toSorted()).toEqual([
      'ada',
      'session-1',
      'session-2',
      'session-3',
    ]);
    for (const relay of [one, other]) expect((await relay.readyz()).ready).toBe(true);
  });

  it('publish what either has recorded', async () => {
    const [one, other] = relays;
    for (const [turn, relay] of [one, other].entries()) {
      expect((await relay?.post(...logoutPost(`by-${turn}`)))?.status).toBe(200);
      await eventually('published', async () => {
        const { rows } = await connection.query(
          'select 1 from revocation_outbox where target = $1 and published_seq is not null',
          [`by-${turn}`],
        );
        return rows.length > 0 ? true : undefined;
      });
    }
  });

  it('cover for each other: no downtime counts while one of them listens', async () => {
    const database = await postgres.createDatabase();
    const place = { receivers, revocation: { log: 'second' } };
    const first = await startReplica(database, place);
    await connection.end();
    connection = new pg.Client({ connectionString: database });
    await connection.connect();
    const cutOffs = async () => (await outbox()).filter(({ kind }) => kind === 'issuer').length;
    expect(await cutOffs()).toBe(1);

    const second = await startReplica(database, place);
    await first.stop();
    relays.splice(relays.indexOf(first), 1);
    const third = await startReplica(database, place);
    expect(await cutOffs()).toBe(1);
    expect((await third.post(...logoutPost('third'))).status).toBe(200);
    for (const relay of [second, third]) {
      await relay.stop();
      relays.splice(relays.indexOf(relay), 1);
    }
    await connection.query('update receiver_presence set seen_at_ms = seen_at_ms - 3000');
    await startReplica(database, place);
    expect(await cutOffs()).toBe(2);
  });
});
