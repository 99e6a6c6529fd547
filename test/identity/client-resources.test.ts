import * as client from 'openid-client';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { neverPrinted } from '../output.ts';
import { temporaryDirectory } from '../temporary.ts';
import { formsOf, openBrowser, type Visit } from './browser.ts';
import {
  authorization,
  exchange,
  logInBrowser,
  login,
  openLoginPage,
  payloadOf,
  submitLogin,
} from './flows.ts';
import {
  deviceGrantType,
  loginGrantType,
  startIdentity,
  webRedirect,
  type TestIdentity,
} from './identity-server.ts';

// A client that lists resources gets tokens for those alone, by whatever grant.

const secret = 'a-secret-of-the-nightly-job-of-these-tests';
const resources = { orders: { scopes: ['read'] }, 'https://api.example/pay': { scopes: ['pay'] } };
const pay = 'https://api.example/pay';
const adminAudience = 'urn:curfew:admin';

const publicClient = { token_endpoint_auth_method: 'none', resources: ['orders'] };
const web = {
  ...publicClient,
  client_id: 'web',
  redirect_uris: [webRedirect],
  grant_types: ['authorization_code', 'refresh_token'],
};
const cli = { ...publicClient, client_id: 'cli', grant_types: [loginGrantType, 'refresh_token'] };
const clients = [
  web,
  cli,
  { ...publicClient, client_id: 'device', application_type: 'native', grant_types: [deviceGrantType] },
  { client_id: 'job', client_secret: secret, grant_types: ['client_credentials'], resources: ['orders'] },
  {
    client_id: 'console',
    client_secret: secret,
    grant_types: ['client_credentials'],
    admin_scopes: ['sessions:read'],
    resources: [],
  },
  { client_id: 'free', client_secret: secret, grant_types: ['client_credentials'] },
];

const refusedTarget = { error: 'invalid_target' };

describe('a client with a list of resources', () => {
  let identity: TestIdentity;

  beforeAll(async () => {
    neverPrinted(secret);
    identity = await startIdentity({ clients, resources });
    await identity.addUser('annie');
  });
  afterAll(() => identity.stop());

  const confidential = (clientId: string): Promise<client.Configuration> =>
    identity.relyingParty(clientId, client.ClientSecretBasic(secret));

  it('gets tokens for those; a single one is the default', async () => {
    const { tokens } = await logInBrowser(identity, 'annie');
    expect(payloadOf(tokens.access)).toMatchObject({ aud: 'orders', client_id: 'web' });
    expect(payloadOf((await login(identity, 'annie')).access)['aud']).toBe('orders');
    const own = await client.clientCredentialsGrant(await confidential('job'), { scope: 'read' });
    expect(payloadOf(own.access_token)['aud']).toBe('orders');
  });

  it.each([
    ['alone', [pay]],
    ['beside one of its own', ['orders', pay]],
  ])('gets no code for another, named %s', async (_, named) => {
    const { url } = await authorization(identity, { more: { scope: 'openid read pay' } });
    for (const resource of named) url.searchParams.append('resource', resource);
    const { location = '' } = await openLoginPage(identity, openBrowser(), url);
    expect(location).toMatch(/^http:\/\/127\.0\.0\.1:3000\/cb\?/);
    expect(new URL(location).searchParams.get('error')).toBe('invalid_target');
  });

  it('gets no token for another at the exchange of its code', async () => {
    const browser = openBrowser();
    const begun = await authorization(identity);
    const page = await openLoginPage(identity, browser, begun.url);
    const left = await submitLogin(identity, browser, page, 'annie');
    await expect(exchange(begun, left, { resource: pay })).rejects.toMatchObject(refusedTarget);
  });

  it('gets no other by the login grant or client_credentials', async () => {
    await expect(login(identity, 'annie', { resource: pay })).rejects.toMatchObject(refusedTarget);
    const job = await confidential('job');
    for (const resource of [pay, adminAudience])
      await expect(client.clientCredentialsGrant(job, { resource })).rejects.toMatchObject(refusedTarget);
  });

  it('gets no other by the device flow', async () => {
    const party = await identity.relyingParty('device');
    await expect(client.initiateDeviceAuthorization(party, { resource: pay })).rejects.toMatchObject(
      refusedTarget,
    );
    const allowed = async (more: Record<string, string>) => {
      const codes = await client.initiateDeviceAuthorization(party, { scope: 'read' });
      await allowDevice(identity, codes.user_code);
      const parameters = { device_code: codes.device_code, ...more };
      return await client.genericGrantRequest(party, deviceGrantType, parameters);
    };
    await expect(allowed({ resource: pay })).rejects.toMatchObject(refusedTarget);
    const { access_token: access } = await allowed({});
    neverPrinted(access);
    expect(payloadOf(access)).toMatchObject({ aud: 'orders', client_id: 'device' });
  });

  it('may have an empty list: then it can only use the administration API', async () => {
    const party = await confidential('console');
    const scope = 'sessions:read';
    const own = await client.clientCredentialsGrant(party, { resource: adminAudience, scope });
    expect(payloadOf(own.access_token)['aud']).toBe(adminAudience);
    for (const more of [{}, { resource: 'orders' }])
      await expect(client.clientCredentialsGrant(party, more)).rejects.toMatchObject(refusedTarget);
  });

  it('without a list, a client gets any resource that it names', async () => {
    const party = await confidential('free');
    for (const resource of ['orders', pay]) {
      const own = await client.clientCredentialsGrant(party, { resource });
      expect(payloadOf(own.access_token)['aud']).toBe(resource);
    }
    await expect(client.clientCredentialsGrant(party)).rejects.toMatchObject(refusedTarget);
  });
});

describe('a shortened list of resources', () => {
  it('refuses refreshes for a removed resource without using the refresh token', async () => {
    const directory = temporaryDirectory();
    const start = async (listed: string[]): Promise<TestIdentity> => {
      const identity = await startIdentity(
        { clients: [{ ...cli, resources: listed }], resources },
        { directory },
      );
      onTestFinished(() => identity.stop().catch(() => undefined));
      return identity;
    };
    const wide = await start(['orders', pay]);
    await wide.addUser('annie');
    const tokens = await login(wide, 'annie', { resource: pay });
    await wide.stop();

    const narrow = await start(['orders']);
    const refreshWith = async (identity: TestIdentity, more: Record<string, string> = {}) =>
      await client.refreshTokenGrant(await identity.relyingParty('cli'), tokens.refresh, more);
    for (const more of [{}, { resource: pay }, { resource: 'orders' }])
      await expect(refreshWith(narrow, more)).rejects.toMatchObject(refusedTarget);
    await narrow.stop();

    const again = await start(['orders', pay]);
    const { access_token: access } = await refreshWith(again);
    neverPrinted(access);
    expect(payloadOf(access)['aud']).toBe(pay);
    await again.stop();
  });
});

/** A person types the code in, logs in, and says yes to both questions. */
async function allowDevice(identity: TestIdentity, code: string): Promise<Visit> {
  const browser = openBrowser();
  const [typed] = formsOf(await browser.get(`${identity.issuer}/device`));
  const confirm = await browser.post(typed?.action ?? '', { ...typed?.fields, user_code: code });
  const [form] = formsOf(confirm);
  const { xsrf = '', user_code: userCode = '' } = form?.fields ?? {};
  const confirmed = await browser.post(form?.action ?? '', { xsrf, user_code: userCode, confirm: 'yes' });
  const page = await browser.follow(confirmed, identity.issuer);
  const asked = await submitLogin(identity, browser, page, 'annie');
  const [ask] = formsOf(asked);
  return ask === undefined
    ? asked
    : await browser.follow(await browser.post(ask.action, ask.fields), identity.issuer);
}
