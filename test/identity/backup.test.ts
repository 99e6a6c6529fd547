import { join } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as client from 'openid-client';
import { revoke } from '../../src/identity/session/commands.ts';
import { eventually, freePort } from '../processes.ts';
import { startRedis, type RedisServer } from '../publisher/redis-server.ts';
import { temporaryDirectory } from '../temporary.ts';
import { login, refresh } from './flows.ts';
import { startIdentity, type TestIdentity } from './identity-server.ts';

const invalidGrant = expect.objectContaining({ error: 'invalid_grant' });

describe('a copy of the database, made while identity runs', () => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());

  const isLeading = async ({ admin }: TestIdentity): Promise<true | undefined> =>
    (await (await fetch(`${admin}/readyz`)).text()).includes('"role":"leading"') ? true : undefined;

  it('starts again: old sessions go on, and after revoking everything none that was ended is back', async () => {
    const directory = temporaryDirectory();
    const port = await freePort();
    const fixed = {
      issuer: `http://127.0.0.1:${port}`,
      listen: `127.0.0.1:${port}`,
      redis: { url: redis.url },
    };
    const [original, copy] = [join(directory, 'identity.db'), join(directory, 'copy.db')];
    const before = await startIdentity({ ...fixed, database: { sqlite: original } });
    await before.addUser('ada');
    const [kept, ended] = [await login(before, 'ada'), await login(before, 'ada')];
    const source = new DatabaseSync(original);
    await backup(source, copy);
    source.close();
    const since = await login(before, 'ada');
    await client.tokenRevocation(await before.relyingParty('cli'), ended.refresh);
    await before.stop();

    const after = await startIdentity({ ...fixed, database: { sqlite: copy } });
    // The log in Redis is newer than the copy; its owner takes it over again.
    await eventually('leading', () => isLeading(after));
    const going = await refresh(after, kept);
    expect(going.session).toBe(kept.session);
    await expect(refresh(after, since)).rejects.toEqual(invalidGrant);
    // What the documentation warns of: the copy knows nothing of this logout.
    const risen = await refresh(after, ended);
    const revocation = await revoke(after.config, { kind: 'everything' }, { reason: 'restored' });
    expect(revocation).toMatchObject({ isPublished: true, seq: expect.any(Number) });
    await expect(refresh(after, risen)).rejects.toEqual(invalidGrant);
    await expect(refresh(after, going)).rejects.toEqual(invalidGrant);
    expect((await login(after, 'ada')).session).not.toBe('');
    await after.stop();
  });
});
