import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRevocationFeed } from '../../src/revocation/redis-feed.ts';
import type { RevocationFeed } from '../../src/revocation/feed.ts';
import type { Revocable } from '../../src/revocation/revocable.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { eventually } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { capturedLog, testMetrics } from '../token/fixtures.ts';
import { testIssuer } from '../token/tokens.ts';
import { fusionAuthPost, logoutPost, outboxOf, setPost, webhookPost, type Post } from './deliveries.ts';
import { startRelay, untilLeading, type TestRelay } from './relay-server.ts';

// A relay over HTTP and SQLite, its log in a real Redis, and a sidecar's view of it.

let redis: RedisServer;
let relay: TestRelay;
let feed: RevocationFeed;

beforeAll(async () => {
  redis = await startRedis();
  relay = await startRelay({ redis: { url: redis.url } });
  await untilLeading(relay);
  feed = createRevocationFeed({
    redis: { url: redis.url },
    logName: 'curfew',
    issuers: [{ issuer: testIssuer, clockToleranceSeconds: 5 }],
    maxExposureMs: 30_000,
    maxEntries: 10_000,
    clock: systemClock,
    log: capturedLog().log,
    metrics: testMetrics(),
  });
  await feed.start();
  await feed.waitForSync(10_000);
});
afterAll(async () => {
  await feed.stop();
  await relay.stop();
  await redis.stop();
});

const limits = { maxExposureMs: 30_000, clockToleranceSeconds: 5 };

function judge(token: Partial<Revocable>) {
  const issuedAt = Date.now() / 1000;
  const full: Revocable = {
    issuer: testIssuer,
    subject: 'nobody',
    session: 'none',
    tokenId: undefined,
    clientIds: [],
    keyNames: ['key'],
    issuedAt,
    expiresAt: issuedAt + 60,
    ...token,
  };
  return feed.revocations.evaluate(full, limits, (full.issuedAt + 1) * 1000);
}

const untilRevoked = (token: Partial<Revocable>, by: string): Promise<true> =>
  eventually(`revoked by ${by}`, () => {
    const finding = judge(token);
    return finding.kind === 'revoked' && finding.by === by ? true : undefined;
  });

describe('an event that is delivered', () => {
  it.each<[string, number, (session: string) => Post]>([
    ['a logout token', 200, (session) => logoutPost(session)],
    ["FusionAuth's webhook", 200, (session) => fusionAuthPost(session)],
    ['a signed webhook', 204, (session) => webhookPost({ kind: 'session', id: session, reason: 'test' })],
    [
      'a Security Event Token',
      202,
      (session) =>
        setPost('someone', { sub_id: { format: 'complex', session: { format: 'opaque', id: session } } }),
    ],
  ])('as %s refuses tokens of the session', async (name, status, post) => {
    const session = `session of ${name}`;
    expect(judge({ session })).toEqual({ kind: 'clear' });
    const answer = await relay.post(...post(session));
    expect(answer).toMatchObject({ status, body: '' });
    await untilRevoked({ session }, 'session');
    expect(judge({ session: 'another' })).toEqual({ kind: 'clear' });
  });

  it('is in the log before its sender gets the response', async () => {
    for (let round = 0; round < 20; round += 1) {
      const id = `at-once-${round}`;
      expect((await relay.post(...webhookPost({ kind: 'session', id }))).status).toBe(204);
      const epoch = /\r\n(?<epoch>\d+)\r\n/.exec(
        await redis.command('HGET', '{curfew}:head', 'epoch'),
      )?.groups;
      const log = await redis.command('ZRANGE', `{curfew}:log:${epoch?.['epoch'] ?? ''}`, '0', '-1');
      expect(log).toContain(`"id":"${id}"`);
    }
  });

  it("as account-disabled revokes the account's tokens issued before, not those issued after", async () => {
    const uri = 'https://schemas.openid.net/secevent/risc/event-type/account-disabled';
    const at = Math.floor(Date.now() / 1000);
    await relay.post(...setPost('ada', { events: { [uri]: { event_timestamp: at } } }));
    const issuedAtSecond = (issuedAt: number) =>
      judge({ subject: 'ada', session: 'hers', issuedAt, expiresAt: issuedAt + 60 });
    await eventually('revoked', () => (issuedAtSecond(at).kind === 'revoked' ? true : undefined));
    expect(issuedAtSecond(at)).toEqual({ kind: 'revoked', by: 'subject', reason: 'account-disabled' });
    expect(issuedAtSecond(at + 1)).toEqual({ kind: 'clear' });
  });

  it('may revoke a key, a token and a client', async () => {
    const far = Math.floor(Date.now() / 1000) + 3600;
    const answer = await relay.post(
      ...webhookPost(
        { kind: 'key', id: 'leaked' },
        { kind: 'token', id: 't-1' },
        { kind: 'client', id: 'c-1', at: far },
      ),
    );
    expect(answer.status).toBe(204);
    await untilRevoked({ keyNames: ['leaked'] }, 'key');
    await untilRevoked({ tokenId: 't-1' }, 'token');
    // A time in the future is brought down to where a clock can be.
    const later = Date.now() / 1000 + 10;
    expect(judge({ clientIds: ['c-1'], issuedAt: later, expiresAt: later + 60 })).toEqual({ kind: 'clear' });
  });
});

describe('a retried delivery', () => {
  it.each<[string, () => Post]>([
    ['a Security Event Token', () => setPost('retried')],
    ['a logout token', () => logoutPost('retried')],
    ["FusionAuth's webhook", () => fusionAuthPost('retried')],
    ['a signed webhook', () => webhookPost({ kind: 'subject', id: 'retried' })],
  ])('of %s is answered like the first and recorded once', async (_, make) => {
    const post = make();
    const before = outboxOf(relay.sqlite).length;
    const first = await relay.post(...post);
    const answers = await Promise.all([relay.post(...post), relay.post(...post)]);
    for (const { status, body } of answers)
      expect({ status, body }).toEqual({ status: first.status, body: first.body });
    expect(outboxOf(relay.sqlite)).toHaveLength(before + 1);
  });

  it('is recorded once when fifty arrive concurrently', async () => {
    const post = logoutPost('at-once');
    const before = outboxOf(relay.sqlite).length;
    const answers = await Promise.all(Array.from({ length: 50 }, () => relay.post(...post)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 200));
    expect(outboxOf(relay.sqlite)).toHaveLength(before + 1);
  });

  it("is distinguished from another receiver's delivery with the same id", async () => {
    const before = outboxOf(relay.sqlite).length;
    await relay.post(...setPost('same-id', { jti: 'one-id' }));
    await relay.post(...logoutPost('same-id', { jti: 'one-id' }));
    expect(outboxOf(relay.sqlite)).toHaveLength(before + 2);
  });
});

describe('the log of a relay', () => {
  it('names sessions by a short hash and contains no token', async () => {
    await relay.post(...logoutPost('a-session-to-look-for'));
    expect(relay.logged()).not.toContain('a-session-to-look-for');
    expect(relay.logged()).toMatch(/delivery accepted.*/);
    expect(relay.logged()).toMatch(/"sessionHash":"[0-9a-f]{12}"/);
  });

  it('is counted by source and result', async () => {
    const counted = (result: string) =>
      relay.metric(`curfew_received_events_total{source="set-push",result="${result}"}`);
    const [accepted, duplicate, refused] = [
      await counted('accepted'),
      await counted('duplicate'),
      await counted('wrong_audience'),
    ];
    const post = setPost('counted');
    await relay.post(...post);
    await relay.post(...post);
    await relay.post(...setPost('counted', { aud: 'https://other.test' }));
    expect(await counted('accepted')).toBe(accepted + 1);
    expect(await counted('duplicate')).toBe(duplicate + 1);
    expect(await counted('wrong_audience')).toBe(refused + 1);
  });
});
