import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Redis } from 'ioredis';
import { createOwnerlessLog } from '../../src/publisher/ownerless-log.ts';
import { logKeys } from '../../src/revocation-log/keys.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { neverPrinted } from '../output.ts';
import { eventually, repository } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { temporaryDirectory } from '../temporary.ts';
import { issueToken, testIssuer } from '../token/tokens.ts';
import { fileIssuer, startAuthorizer, type AuthorizerProgram } from './authorizer-program.ts';

const other = 'https://other.test';
let redis: RedisServer;
let client: Redis;
let folder: string;

beforeAll(async () => {
  redis = await startRedis();
  client = await openRedis({ url: redis.url }, { connectionName: 'test' });
});

afterAll(async () => {
  client.disconnect();
  await redis.stop();
});

beforeEach(async () => {
  folder = temporaryDirectory();
  await client.flushall();
});

const createLog = (...issuers: readonly string[]) =>
  createOwnerlessLog(client, {
    logName: 'curfew',
    issuers,
    clockToleranceMs: 5000,
    maxTokenLifetimeMs: 60_000,
  });

/** One of two issuers, and a log waited for without an end: ready means that all is proven that can be. */
async function start(name?: string): Promise<AuthorizerProgram> {
  const config = {
    issuers: [fileIssuer(folder), fileIssuer(folder, { issuer: other })],
    revocation: { redis: { url: redis.url }, waitForSync: 'forever' },
  };
  const authorizer = await startAuthorizer(folder, config, name);
  onTestFinished(() => authorizer.stop().then(() => {}));
  return authorizer;
}

const untilReadyWith = (authorizer: AuthorizerProgram, unproven: Record<string, string>): Promise<unknown> =>
  eventually('it is ready, and names whom the log proves nothing about', async () => {
    const { ready, parts } = await authorizer.readyz();
    return ready && JSON.stringify(parts['unproven']) === JSON.stringify(unproven) ? true : undefined;
  });

const samples = async (authorizer: AuthorizerProgram): Promise<string[]> =>
  (await authorizer.metrics()).split('\n').filter((line) => line.startsWith('curfew_feed_issuer_unproven{'));

describe('an authorizer whose log is incomplete for one of its issuers', () => {
  it('is ready and live for the other issuer, and reports the uncovered one everywhere', async () => {
    await createLog(testIssuer);
    const authorizer = await start();
    await untilReadyWith(authorizer, { [other]: 'uncovered' });
    expect((await authorizer.readyz()).parts['revocation']).toBe('live');
    expect(await authorizer.status()).toMatchObject({
      revocation: { state: 'live', uncovered: [other], unproven: [{ issuer: other, cause: 'uncovered' }] },
    });
    expect(await samples(authorizer)).toEqual(
      expect.arrayContaining([
        `curfew_feed_issuer_unproven{issuer="${other}",cause="uncovered"} 1`,
        `curfew_feed_issuer_unproven{issuer="${other}",cause="not_understood"} 0`,
        `curfew_feed_issuer_unproven{issuer="${testIssuer}",cause="uncovered"} 0`,
      ]),
    );
    const warnings = authorizer.log().filter(({ msg }) => /does not cover this issuer/.test(String(msg)));
    expect(warnings).toMatchObject([{ level: 'warn', issuer: other, log: 'curfew' }]);
  });

  it('reports the reason in token inspect', async () => {
    await createLog(testIssuer);
    await start();
    const now = Math.floor(Date.now() / 1000) - 40;
    for (const [iss, told] of [
      [other, 'revocation log: live, but it proves nothing about this issuer (uncovered)'],
      [testIssuer, 'revocation log: live\n'],
    ] as const) {
      const token = issueToken({ now, claims: { iss } });
      neverPrinted(token);
      const args = ['token', 'inspect', '--config', join(folder, 'authorizer.yaml')];
      const { stdout } = spawnSync(join(repository, 'bin', 'curfew'), args, {
        input: token,
        encoding: 'utf8',
      });
      expect(stdout).toContain(told);
    }
  });

  it('reports an event of another version, and becomes ready with one in the log', async () => {
    await createLog(testIssuer, other);
    const running = await start();
    await untilReadyWith(running, {});
    await client.zadd(logKeys('curfew').log(1), 3, JSON.stringify({ v: 2, seq: 3, iss: other }));
    await client.hset(logKeys('curfew').head, 'seq', 3);
    await untilReadyWith(running, { [other]: 'not_understood' });
    expect((await running.readyz()).parts['revocation']).toBe('live');
    const warned = running.log().find(({ msg }) => /unreadable event/.test(String(msg)));
    expect(warned).toMatchObject({ level: 'warn', issuer: other });
    await untilReadyWith(await start('later'), { [other]: 'not_understood' });
  });

  it('is not ready while the log covers no issuer', async () => {
    await createLog('https://elsewhere.test');
    const authorizer = await start();
    await eventually('it has read the log', async () =>
      authorizer.log().some(({ msg }) => /does not cover this issuer/.test(String(msg))) ? true : undefined,
    );
    expect((await authorizer.readyz()).ready).toBe(false);
  });
});
