import { afterAll, beforeAll, expect, it } from 'vitest';
import * as client from 'openid-client';
import { formsOf, openBrowser, type Browser } from './browser.ts';
import { onEachDatabase } from './databases.ts';
import {
  authorization,
  exchange,
  logInBrowser,
  openLoginPage,
  payloadOf,
  refresh,
  submitLogin,
  type Tokens,
} from './flows.ts';
import { deviceGrantType, webRedirect, type TestIdentity } from './identity-server.ts';

const invalidGrant = expect.objectContaining({ error: 'invalid_grant' });

onEachDatabase('a client that runs in browsers and on devices', ({ start }) => {
  let identity: TestIdentity;

  beforeAll(async () => {
    const both = {
      client_id: 'web',
      token_endpoint_auth_method: 'none',
      redirect_uris: [webRedirect],
      grant_types: ['authorization_code', 'refresh_token', deviceGrantType],
    };
    identity = await start({
      clients: [both, { ...both, client_id: 'partner', consent_required: true }],
    });
    await identity.addUser('annie');
  });
  afterAll(() => identity.stop());

  /** Logs a device in, with a browser that has a login already. */
  async function allowDevice(browser: Browser, clientId: string): Promise<client.TokenEndpointResponse> {
    const party = await identity.relyingParty(clientId);
    const codes = await client.initiateDeviceAuthorization(party, { scope: 'read' });
    const [typed] = formsOf(await browser.get(`${identity.issuer}/device`));
    const page = await browser.post(typed?.action ?? '', { ...typed?.fields, user_code: codes.user_code });
    const [form] = formsOf(page);
    const { xsrf = '', user_code: userCode = '' } = form?.fields ?? {};
    const confirmed = await browser.post(form?.action ?? '', { xsrf, user_code: userCode, confirm: 'yes' });
    const asked = await browser.follow(confirmed, identity.issuer);
    const [consent] = formsOf(asked);
    if (consent !== undefined)
      await browser.follow(await browser.post(consent.action, consent.fields), identity.issuer);
    return await client.pollDeviceAuthorizationGrant(party, { ...codes, interval: 0.01 });
  }

  async function logOut(browser: Browser): Promise<void> {
    const [form] = formsOf(await browser.get(`${identity.issuer}/session/end`));
    await browser.post(form?.action ?? '', { ...form?.fields, logout: 'yes' });
  }

  async function logIn(clientId: string): Promise<{ tokens: Tokens; browser: Browser }> {
    const browser = openBrowser();
    const begun = await authorization(identity, { clientId });
    const page = await openLoginPage(identity, browser, begun.url);
    const left = await submitLogin(identity, browser, page, 'annie');
    const [consent] = left.location === undefined ? formsOf(left) : [];
    if (consent === undefined) return { tokens: await exchange(begun, left), browser };
    const allowed = await browser.follow(await browser.post(consent.action, {}), identity.issuer);
    return { tokens: await exchange(begun, allowed), browser };
  }

  it.each(['web', 'partner'])(
    'keeps the browser’s session when %s logs a device in, and the device’s when the browser logs out',
    async (clientId) => {
      const { tokens, browser } = await logIn(clientId);
      const device = await allowDevice(browser, clientId);
      const session = payloadOf(device.access_token)['grant_id'];
      expect(session).not.toBe(tokens.session);
      const next = await refresh(identity, tokens, clientId);
      expect(next.session).toBe(tokens.session);
      await logOut(browser);
      await expect(refresh(identity, next, clientId)).rejects.toEqual(invalidGrant);
      const party = await identity.relyingParty(clientId);
      const after = await client.refreshTokenGrant(party, device.refresh_token ?? '');
      expect(payloadOf(after.access_token)['grant_id']).toBe(session);
    },
  );

  it('starts a separate browser session after a device of the same client was allowed', async () => {
    const { browser } = await logIn('partner');
    const device = await allowDevice(browser, 'web');
    const { tokens } = await logInBrowser(identity, 'annie', { browser });
    expect(tokens.session).not.toBe(payloadOf(device.access_token)['grant_id']);
    expect((await refresh(identity, tokens, 'web')).session).toBe(tokens.session);
  });
});
