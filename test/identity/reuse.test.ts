import * as client from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { purgeExpired } from '../../src/identity/store/purge.ts';
import { openDatabase } from '../../src/database/database.ts';
import { openBrowser } from './browser.ts';
import {
  authorization,
  exchange,
  logInBrowser,
  login,
  openLoginPage,
  payloadOf,
  refresh,
  submitLogin,
  type Tokens,
} from './flows.ts';
import { startIdentity, type TestIdentity } from './identity-server.ts';

const hourMs = 60 * 60 * 1000;

describe('a refresh token', () => {
  let identity: TestIdentity;

  beforeAll(async () => {
    identity = await startIdentity();
    await identity.addUser('radia');
  });
  afterAll(() => identity.stop());

  async function refreshWith(
    tokens: Tokens,
    parameters: Record<string, string>,
    clientId: string,
  ): Promise<client.TokenEndpointResponse> {
    return await client.refreshTokenGrant(await identity.relyingParty(clientId), tokens.refresh, parameters);
  }

  it.each([
    ['cli', 'read write', () => login(identity, 'radia')],
    ['web', 'openid profile read', async () => (await logInBrowser(identity, 'radia')).tokens],
  ])(
    'of %s that was used an hour ago ends its family, also for a client that names its scopes',
    async (clientId, scope, begin) => {
      const stolen = await begin();
      const thiefs = await refresh(identity, stolen, clientId);
      const database = openDatabase(identity.config.database);
      await purgeExpired(database, Date.now() + hourMs + 1000);
      await database.close();
      await expect(refreshWith(stolen, { scope }, clientId)).rejects.toMatchObject({
        error: 'invalid_grant',
      });
      await expect(refresh(identity, thiefs, clientId)).rejects.toMatchObject({ error: 'invalid_grant' });
    },
  );

  it('is not used up by a request for a resource that it is not for', async () => {
    const tokens = await login(identity, 'radia');
    for (const resource of ['payments', 'https://other.example'])
      await expect(refreshWith(tokens, { resource }, 'cli')).rejects.toMatchObject({
        error: 'invalid_target',
      });
    expect((await refresh(identity, tokens)).session).toBe(tokens.session);
  });

  it('for several resources is not used up before one is named', async () => {
    const several = await startIdentity({
      resources: { orders: { scopes: ['read'] }, pay: { scopes: ['pay'] } },
    });
    try {
      await several.addUser('radia');
      const begun = await authorization(several, { more: { scope: 'read pay' } });
      begun.url.searchParams.append('resource', 'orders');
      begun.url.searchParams.append('resource', 'pay');
      const browser = openBrowser();
      const page = await openLoginPage(several, browser, begun.url);
      const left = await submitLogin(several, browser, page, 'radia');
      const tokens = await exchange(begun, left, { resource: 'pay' });
      await expect(refresh(several, tokens, 'web')).rejects.toMatchObject({ error: 'invalid_target' });
      const party = await several.relyingParty('web');
      const next = await client.refreshTokenGrant(party, tokens.refresh, { resource: 'orders' });
      expect(payloadOf(next.access_token)).toMatchObject({ aud: 'orders', scope: 'read' });
    } finally {
      await several.stop();
    }
  });
});
