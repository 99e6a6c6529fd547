import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as client from 'openid-client';
import { curfew } from '../command/curfew.ts';
import { eventually, freePort } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { temporaryDirectory } from '../temporary.ts';
import { onEachDatabase, query } from './databases.ts';
import { headerOf, login, payloadOf, refresh } from './flows.ts';
import { clients, type TestIdentity } from './identity-server.ts';

const invalidGrant = expect.objectContaining({ error: 'invalid_grant' });

onEachDatabase('a copy of the database, made while identity runs', ({ start, create, copy }) => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());

  const isLeading = async ({ admin }: TestIdentity): Promise<true | undefined> =>
    (await (await fetch(`${admin}/readyz`)).text()).includes('"role":"leading"') ? true : undefined;

  /** A copy of a database, one of whose two sessions was logged out since. */
  async function restore() {
    const directory = temporaryDirectory();
    const port = await freePort();
    const fixed = {
      issuer: `http://127.0.0.1:${port}`,
      listen: `127.0.0.1:${port}`,
      redis: { url: redis.url },
      revocation: { log: `backup-${port}` },
    };
    const original = await create(directory);
    const before = await start({ ...fixed, database: original });
    await before.addUser('ada');
    const [kept, ended] = [await login(before, 'ada'), await login(before, 'ada')];
    const database = await copy(original, directory);
    const since = await eventually('a login', () => login(before, 'ada').catch(() => undefined));
    await client.tokenRevocation(await before.relyingParty('cli'), ended.refresh);
    await expect(refresh(before, ended)).rejects.toEqual(invalidGrant);
    await before.stop();
    const file = join(directory, 'identity.yaml');
    writeFileSync(file, JSON.stringify({ ...fixed, database, clients, resources: { orders: {} } }));
    const documented = ['revoke', 'everything', '--issuer', fixed.issuer, '--yes', '--reason', 'restored'];
    return {
      restart: () => start({ ...fixed, database }),
      revokeEverything: () => curfew([...documented, '--config', file]),
      kept,
      ended,
      since,
    };
  }

  it('starts: old sessions continue, and after the documented command no ended session is valid again', async () => {
    const { restart, revokeEverything, kept, ended, since } = await restore();
    const after = await restart();
    // The log in Redis is newer than the copy; its owner takes it over again.
    await eventually('leading', () => isLeading(after));
    const going = await refresh(after, kept);
    expect([going.session, headerOf(going.access)['kid']]).toEqual([
      kept.session,
      headerOf(kept.access)['kid'],
    ]);
    await expect(refresh(after, since)).rejects.toEqual(invalidGrant);
    // What the documentation warns of: the copy knows nothing of this logout.
    const risen = await refresh(after, ended);
    const done = await revokeEverything();
    expect([done.exitCode, done.warned]).toEqual([0, '']);
    expect(done.printed).toMatch(/^everything of \S+ revoked, seq \d+, log backup-\d+, 2 ended here\n$/);
    await expect(refresh(after, risen)).rejects.toEqual(invalidGrant);
    await expect(refresh(after, going)).rejects.toEqual(invalidGrant);
    const again = await login(after, 'ada');
    expect(payloadOf(again.access)['sub']).toBe(payloadOf(kept.access)['sub']);
    await after.stop();
  }, 60_000);

  it('restores no ended session if the command ran before the start', async () => {
    const { restart, revokeEverything, kept, ended } = await restore();
    const recorded = await revokeEverything();
    expect([recorded.exitCode, recorded.warned]).toEqual([
      1,
      expect.stringContaining('recorded, but not yet published, 2 ended here'),
    ]);
    const after = await restart();
    for (const one of [ended, kept]) await expect(refresh(after, one)).rejects.toEqual(invalidGrant);
    await eventually('published', async () => {
      const [row] = await query(
        after,
        sql<{
          published_seq: number | null;
        }>`select published_seq from revocation_outbox where kind = 'issuer'`,
      );
      return row?.published_seq ?? undefined;
    });
    await after.stop();
  }, 60_000);
});
