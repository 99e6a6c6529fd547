import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startPostgresLink } from '../identity/postgres-link.ts';
import { startPostgres, type PostgresServer } from '../identity/postgres-server.ts';
import { eventually, freePort } from '../processes.ts';
import { logoutPost } from '../relay/deliveries.ts';
import { relayFolder, startRelayProgram, untilLeading } from '../relay/relay-server.ts';
import { temporaryDirectory } from '../temporary.ts';
import { testIssuer } from '../token/tokens.ts';
import { addUser, startIdentityProgram, type IdentityProgram } from './identity-program.ts';
import { findPgBouncer, startPgBouncer } from './pgbouncer.ts';
import { ownRedis, startSidecar } from './stand.ts';
import { cannotShow, measured, seconds } from './table.ts';
import { startLoad, type LoadReport } from './token-load.ts';

let postgres: PostgresServer;

beforeEach(async () => {
  postgres = await startPostgres();
});
afterEach(() => postgres.stop());

async function startIdentity(url: string): Promise<{ identity: IdentityProgram; redis: string }> {
  const redis = await ownRedis();
  const port = await freePort();
  const place = {
    folder: temporaryDirectory(),
    database: { postgres: { url, poolSize: 6 } },
    redis: redis.url,
    issuer: `http://127.0.0.1:${port}`,
    port,
  };
  const identity = await startIdentityProgram(place, 'identity');
  await addUser(place, 'identity', 'lise');
  return { identity, redis: redis.url };
}

const nameOf = (url: string): string => new URL(url).pathname.slice(1);

/** Load before, during and after a fault. */
async function underLoad(identity: IdentityProgram, fault: () => Promise<void>): Promise<LoadReport> {
  const load = await startLoad(identity.issuer, 'lise');
  await fault();
  await setTimeout(1000);
  const report = await load.end();
  expect(identity.program.child.exitCode).toBeNull();
  return report;
}

/** Notes what was measured. @returns what is asserted */
function assess(fault: string, report: LoadReport, boundMs: number): typeof harmless {
  const { answers, lost, strange, worstGapMs } = report;
  const { 200: good = 0, 503: refused = 0 } = answers;
  measured({
    fault,
    expected: `lives; 200 or 503 with Retry-After; no session lost; tokens again < ${boundMs / 1000} s`,
    measured: `${good} times 200, ${refused} times 503, ${strange.length} others, ${lost} sessions lost, no token for ${seconds(worstGapMs)}`,
    design: '-',
  });
  return { strange, lost, isBackInTime: worstGapMs < boundMs };
}

const harmless = { strange: [] as readonly string[], lost: 0, isBackInTime: true };

describe('identity under load, and its PostgreSQL', () => {
  it.each([
    { how: 'restarts', signal: 'SIGINT' as const },
    { how: 'crashes', signal: 'SIGQUIT' as const },
  ])('$how three times', async ({ how, signal }) => {
    const { identity } = await startIdentity(await postgres.createDatabase());
    const report = await underLoad(identity, async () => {
      for (let time = 0; time < 3; time += 1) {
        await postgres.shutDown(signal);
        await postgres.start();
        await setTimeout(1000);
      }
    });
    expect(assess(`PostgreSQL ${how}, 3 times under load`, report, 15_000)).toEqual(harmless);
  });

  it('ends every connection, twenty times', async () => {
    const url = await postgres.createDatabase();
    const { identity } = await startIdentity(url);
    const report = await underLoad(identity, async () => {
      for (let time = 0; time < 20; time += 1) {
        await postgres.terminateConnections(nameOf(url));
        await setTimeout(150);
      }
    });
    expect(assess('pg_terminate_backend of all, 20 times under load', report, 5000)).toEqual(harmless);
  });

  it('fails over: the primary crashes, and its replica is promoted', async () => {
    const url = await postgres.createDatabase();
    const replica = await postgres.createReplica({ isSynchronous: true });
    const { identity } = await startIdentity(
      url.replace(`:${postgres.port}/`, `:${postgres.port},127.0.0.1:${replica.port}/`),
    );
    const report = await underLoad(identity, async () => {
      await postgres.shutDown('SIGQUIT');
      await setTimeout(1000);
      await replica.promote();
      await setTimeout(1000);
    });
    expect(assess('fail-over to a synchronous replica, both in the URL', report, 15_000)).toEqual(harmless);
  });

  it('hangs: nothing passes for 15 s', async () => {
    const link = await startPostgresLink(postgres.port);
    const { identity } = await startIdentity(link.through(await postgres.createDatabase()));
    const report = await underLoad(identity, async () => {
      link.hang();
      await setTimeout(15_000);
      link.resume();
    });
    expect(assess('PostgreSQL hangs for 15 s under load', report, 30_000)).toEqual(harmless);
  });
});

describe('identity under load, behind PgBouncer in transaction mode', () => {
  it('survives restarts of either, and publishes revocations without notifications', async () => {
    const path = await findPgBouncer();
    if (path === undefined)
      return cannotShow('PgBouncer in transaction mode', 'no pgbouncer, and this is no Debian with root');
    const pooler = await startPgBouncer(path, postgres.port);
    const { identity, redis } = await startIdentity(pooler.through(await postgres.createDatabase()));
    const report = await underLoad(identity, async () => {
      await postgres.shutDown();
      await postgres.start();
      await setTimeout(2000);
      await pooler.kill();
      await pooler.start();
      await setTimeout(2000);
    });
    expect(
      assess('PgBouncer in transaction mode: PostgreSQL, then PgBouncer restarts', report, 20_000),
    ).toEqual(harmless);
    await expectPublished(identity, redis);
  });

  async function expectPublished(identity: IdentityProgram, redis: string): Promise<void> {
    const sidecar = startSidecar({ url: redis }, { issuer: identity.issuer });
    await sidecar.untilLive();
    const session = await identity.login('lise');
    await identity.logout(session);
    await sidecar.untilKnows([{ session: session.id, committedMs: performance.now() }]);
    expect(identity.program.printed()).toContain('database notifications do not arrive');
  }
});

describe('a relay, and its PostgreSQL', () => {
  it('restarts three times: each notice is recorded or answered with 503', async () => {
    const redis = await ownRedis();
    const url = await postgres.createDatabase();
    const place = await relayFolder({
      database: { postgres: { url, poolSize: 4 } },
      redis: { url: redis.url },
    });
    const relay = await startRelayProgram(place);
    await untilLeading(relay);
    const answers: Record<string, number> = {};
    const recorded: string[] = [];
    const strange: string[] = [];
    const over = new AbortController();
    const sending = (async () => {
      for (let count = 0; !over.signal.aborted; count += 1) {
        const session = `session-${count}`;
        const { status, headers } = await relay.post(...logoutPost(session));
        answers[status] = (answers[status] ?? 0) + 1;
        if (status === 200) recorded.push(session);
        else if (status !== 503 || !headers.has('retry-after')) strange.push(session);
        await setTimeout(20);
      }
    })();
    for (let time = 0; time < 3; time += 1) {
      await postgres.shutDown();
      await postgres.start();
      await setTimeout(500);
    }
    const before = recorded.length;
    await eventually('it records again', () => (recorded.length >= before + 20 ? true : undefined));
    over.abort();
    await sending;
    expect(relay.program.child.exitCode).toBeNull();
    const sidecar = startSidecar({ url: redis.url }, { issuer: testIssuer });
    await sidecar.untilLive();
    // The first start of a relay revokes all tokens so far.
    await eventually('a session that was not revoked is good', () => !sidecar.knows('nobodys') || undefined);
    const missing = await eventually('all that was recorded is known', () =>
      recorded.every((session) => sidecar.knows(session)) ? 0 : undefined,
    );
    await relay.program.stop();
    const { 200: good = 0, 503: refused = 0 } = answers;
    measured({
      fault: 'PostgreSQL of a relay restarts, 3 times under load',
      expected: 'lives; 200 or 503 with Retry-After; all that was answered with 200 is published',
      measured: `${good} times 200, ${refused} times 503, ${missing} of the recorded missing`,
      design: '-',
    });
    expect(strange).toEqual([]);
  });
});
