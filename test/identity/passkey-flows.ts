import { freePort } from '../processes.ts';
import type { Authenticator, CreationOptions, Deviation, RequestOptions } from './authenticator.ts';
import { formsOf, openBrowser, type Browser, type Form, type Visit } from './browser.ts';
import { authorization, openLoginPage, submitLogin, type Authorization } from './flows.ts';
import type { Overrides, TestIdentity } from './identity-server.ts';

/** Passkeys are for names: an identity at `localhost`. */
export async function atLocalhost(): Promise<Overrides> {
  const port = await freePort();
  return { issuer: `http://localhost:${port}`, listen: `127.0.0.1:${port}` };
}

export const openAccount = async (identity: TestIdentity, browser: Browser): Promise<Visit> =>
  await browser.follow(await browser.get(`${identity.issuer}/account`), identity.issuer);

/** The person's own page, logged in with the password. */
export async function logInAtAccount(
  identity: TestIdentity,
  username: string,
  browser = openBrowser(),
): Promise<{ browser: Browser; page: Visit }> {
  const page = await submitLogin(identity, browser, await openAccount(identity, browser), username);
  return { browser, page };
}

/** The form that leads there. */
export function formTo(page: Visit, end: string): Form {
  const form = formsOf(page).find(({ action }) => action.endsWith(end));
  if (form === undefined) throw new Error(`no form to ${end}: ${page.status} ${page.body}`);
  return form;
}

/** Asks for the options of a new passkey, as the script of the page does. */
export const askToAdd = (
  browser: Browser,
  page: Visit,
  more: Record<string, string> = {},
): Promise<Visit> => {
  const { action, fields } = formTo(page, '/account/passkeys');
  return browser.post(`${action}/challenge`, { ...fields, ...more });
};

const jsonOf = (visit: Visit): unknown => JSON.parse(visit.body);

export const creationOptions = (visit: Visit): CreationOptions => jsonOf(visit) as CreationOptions;

export type Adding = {
  name?: string;
  deviation?: Deviation;
  /** Fields for the challenge. */
  more?: Record<string, string>;
};

/** Adds a passkey. @returns the page that follows */
export async function addPasskey(
  identity: TestIdentity,
  { browser, page }: { browser: Browser; page: Visit },
  authenticator: Authenticator,
  { name = 'My key', deviation = {}, more = {} }: Adding = {},
): Promise<Visit> {
  const options = creationOptions(await askToAdd(browser, page, more));
  const credential = authenticator.create(options, deviation);
  const { action, fields } = formTo(page, '/account/passkeys');
  const answer = await browser.post(action, { ...fields, credential, name });
  return await browser.follow(answer, identity.issuer);
}

export type PendingLogin = {
  browser: Browser;
  page: Visit;
  form: Form;
  options: RequestOptions;
  begun: Authorization;
};

/** Opens the log-in page and asks for a challenge. */
export async function beginPasskeyLogin(
  identity: TestIdentity,
  browser = openBrowser(),
): Promise<PendingLogin> {
  const begun = await authorization(identity);
  const page = await openLoginPage(identity, browser, begun.url);
  const form = formTo(page, '/passkey');
  const options = jsonOf(await browser.post(`${form.action}-challenge`, {})) as RequestOptions;
  return { browser, page, form, options, begun };
}

export const sendCredential = ({ browser, form }: PendingLogin, credential: string): Promise<Visit> =>
  browser.post(form.action, { ...form.fields, credential });
