import * as client from 'openid-client';
import { neverPrinted } from '../output.ts';
import { formsOf, openBrowser, type Browser, type Visit } from './browser.ts';
import { loginGrantType, password, webRedirect, type TestIdentity } from './identity-server.ts';

export type Tokens = { access: string; refresh: string; session: string; id: string | undefined };

/** Reads a token response, and sees to it that what is in it is searched for in all output. */
function tokensOf(response: client.TokenEndpointResponse): Tokens {
  const { access_token: access, refresh_token: refresh = '' } = response;
  neverPrinted(access, ...(refresh === '' ? [] : [refresh]));
  const session = payloadOf(access)['grant_id'];
  return { access, refresh, session: typeof session === 'string' ? session : '', id: response.id_token };
}

const part = (jwt: string, index: number): Record<string, unknown> =>
  JSON.parse(Buffer.from(jwt.split('.')[index] ?? '', 'base64url').toString()) as Record<string, unknown>;

export const headerOf = (jwt: string): Record<string, unknown> => part(jwt, 0);
export const payloadOf = (jwt: string): Record<string, unknown> => part(jwt, 1);

/** Logs in by user name and password, as a command line does. */
export async function login(
  identity: TestIdentity,
  username: string,
  more: Record<string, string> = {},
): Promise<Tokens> {
  const party = await identity.relyingParty('cli');
  const parameters = { username, password, ...more };
  return tokensOf(await client.genericGrantRequest(party, loginGrantType, parameters));
}

export async function refresh(identity: TestIdentity, tokens: Tokens, clientId = 'cli'): Promise<Tokens> {
  const party = await identity.relyingParty(clientId);
  return tokensOf(await client.refreshTokenGrant(party, tokens.refresh));
}

export type Authorization = { party: client.Configuration; url: URL; verifier: string; state: string };

/** Begins the code flow with PKCE. */
export async function authorization(
  identity: TestIdentity,
  options: { clientId?: string; redirect?: string; more?: Record<string, string> } = {},
): Promise<Authorization> {
  const { clientId = 'web', redirect = webRedirect, more = {} } = options;
  const party = await identity.relyingParty(clientId);
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const url = client.buildAuthorizationUrl(party, {
    redirect_uri: redirect,
    scope: 'openid profile read',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    ...more,
  });
  return { party, url, verifier, state };
}

/** Opens the log-in page. */
export async function openLoginPage(identity: TestIdentity, browser: Browser, url: URL): Promise<Visit> {
  return await browser.follow(await browser.get(url.href), identity.issuer);
}

/** Fills in the log-in page and follows to where it leaves for the client. */
export async function submitLogin(
  identity: TestIdentity,
  browser: Browser,
  page: Visit,
  username: string,
): Promise<Visit> {
  const [form] = formsOf(page);
  if (form === undefined) throw new Error(`no form: ${page.status} ${page.body}`);
  const answer = await browser.post(form.action, { ...form.fields, username, password });
  return await browser.follow(answer, identity.issuer);
}

/** The whole code flow. */
export async function logInBrowser(
  identity: TestIdentity,
  username: string,
  options: Parameters<typeof authorization>[1] & { browser?: Browser } = {},
): Promise<{ tokens: Tokens; browser: Browser }> {
  const browser = options.browser ?? openBrowser();
  const begun = await authorization(identity, options);
  const page = await openLoginPage(identity, browser, begun.url);
  const left = page.location === undefined ? await submitLogin(identity, browser, page, username) : page;
  return { tokens: await exchange(begun, left), browser };
}

export async function exchange(
  { party, verifier, state }: Authorization,
  left: Visit,
  more: Record<string, string> = {},
): Promise<Tokens> {
  if (left.location === undefined) throw new Error(`did not leave: ${left.status} ${left.body}`);
  const code = new URL(left.location).searchParams.get('code');
  if (code !== null) neverPrinted(code);
  const checks = { pkceCodeVerifier: verifier, expectedState: state };
  return tokensOf(await client.authorizationCodeGrant(party, new URL(left.location), checks, more));
}
