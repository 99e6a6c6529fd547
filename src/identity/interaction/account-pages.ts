import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { default as Provider } from 'oidc-provider';
import { mountPath } from '../request/mount-path.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { RevocationOrder, RevokeTarget } from '../session/revoke-target.ts';
import type { AccountStore } from '../store/account-store.ts';
import type { GrantStore, StoredGrant } from '../store/grant-store.ts';
import { hashOf } from '../store/sealing.ts';
import { accountClientId } from '../../vocabulary/account-client.ts';
import { accountPath } from './account-client.ts';
import {
  challengePath,
  passkeyPaths,
  type AccountPasskeys,
  type PasskeyOutcome,
  type Visitor,
} from './account-passkeys.ts';
import type { Page } from './interactions.ts';
import { errorPage, loggedOutPage, notLoggedInPage } from './pages.ts';
import { sessionsPage, type ListedDevice } from './sessions-page.ts';

export type AccountPagesOptions = {
  issuer: string;
  provider(): Provider;
  /** The first secret signs forms; all are accepted. */
  cookieSecrets(): readonly string[];
  accounts: AccountStore;
  grants: GrantStore;
  revokeTarget: RevokeTarget;
  /** Undefined if passkeys are disabled. */
  passkeys: AccountPasskeys | undefined;
  context(): RequestContext;
  readForm(request: IncomingMessage): Promise<URLSearchParams | undefined>;
};

/** The account page, where users see and end their sessions and manage their passkeys. */
export type AccountPages = {
  answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<Page>;
};

const endPath = `${accountPath}/logout`;
const everywherePath = `${accountPath}/logout-everywhere`;
const paths: ReadonlySet<string> = new Set([accountPath, endPath, everywherePath, ...passkeyPaths]);

export const isAccountPath = (path: string): boolean => paths.has(path);

const maxListed = 1000;

export function createAccountPages(options: AccountPagesOptions): AccountPages {
  const { context } = options;
  const loginUrl = urlOfLogin(options.issuer);
  return {
    answer: async (request, response, path) => {
      const visitor = await visitorOf(request, response, options);
      if (visitor === undefined) {
        if (path === challengePath) return loggedOutMeanwhile(context());
        return isLoginAnswer(request) ? notLoggedIn(options) : redirect(loginUrl);
      }
      if (request.method !== 'POST')
        return path === accountPath ? await show(visitor, options) : redirect(pathOf(accountPath, options));
      const form = await options.readForm(request);
      const csrf = form?.get('csrf') ?? '';
      const { texts } = context();
      if (form === undefined || !options.cookieSecrets().some((key) => isToken(csrf, key, visitor.uid)))
        return { status: 403, body: errorPage(texts, texts.error.crossSite) };
      const { passkeys } = options;
      if (passkeys !== undefined && passkeyPaths.has(path))
        return await pageOf(await passkeys.change(visitor, path, form), visitor, options);
      if (path === endPath) return await end(visitor, form.get('session'), options);
      return path === everywherePath ? await endAll(visitor, options) : await show(visitor, options);
    },
  };
}

/**
 * Whether this is the redirect after a login from this page (RFC 9207 §2: every authorization response has
 * `iss`). The page must not begin another login then, because the browser could end up in a redirect loop.
 */
function isLoginAnswer({ url = '' }: IncomingMessage): boolean {
  const parameters = new URLSearchParams(url.split('?')[1]);
  return parameters.has('error') || parameters.has('iss');
}

/** Shows nothing from the URL, which can come from any link. */
const notLoggedIn = (options: AccountPagesOptions): Page => ({
  status: 200,
  body: notLoggedInPage(options.context().texts, pathOf(accountPath, options)),
});

/** For the page's script, which would follow a redirect without showing it. */
const loggedOutMeanwhile = ({ texts }: RequestContext): Page => ({
  status: 401,
  body: JSON.stringify({ problem: texts.passkeys.outdated }),
  isJson: true,
});

async function pageOf(
  outcome: PasskeyOutcome,
  visitor: Visitor,
  options: AccountPagesOptions,
): Promise<Page> {
  switch (outcome.kind) {
    case 'done':
      return redirect(`${pathOf(accountPath, options)}#passkeys`);
    case 'problem':
      return { ...(await show(visitor, options, outcome.text)), status: outcome.status };
    case 'answer':
      return outcome.page;
  }
}

const redirect = (location: string): Page => ({ status: 303, body: '', location });

const pathOf = (path: string, options: AccountPagesOptions): string => `${mountPath(options.issuer)}${path}`;

async function show(visitor: Visitor, options: AccountPagesOptions, problem?: string): Promise<Page> {
  const csrf = csrfToken(options.cookieSecrets()[0] ?? '', visitor.uid);
  const body = sessionsPage(options.context().texts, {
    action: pathOf(endPath, options),
    everywhereAction: pathOf(everywherePath, options),
    username: visitor.account.username,
    csrf,
    devices: await devicesOf(visitor, options),
    more: await options.passkeys?.section(visitor, { base: mountPath(options.issuer), csrf, problem }),
  });
  return { status: 200, body, hasPasskeys: options.passkeys !== undefined };
}

async function end(visitor: Visitor, key: string | null, options: AccountPagesOptions): Promise<Page> {
  // Only sessions of the visitor. Another tab may already have ended it.
  const chosen = (await devicesOf(visitor, options)).find((one) => one.key === key);
  if (chosen !== undefined)
    await options.revokeTarget({ kind: 'session', id: chosen.key }, order(visitor, options));
  return chosen?.isHere === true
    ? { status: 200, body: loggedOutPage(options.context().texts) }
    : redirect(pathOf(accountPath, options));
}

async function endAll(visitor: Visitor, options: AccountPagesOptions): Promise<Page> {
  await options.revokeTarget({ kind: 'subject', id: visitor.account.id }, order(visitor, options));
  const { texts } = options.context();
  return { status: 200, body: loggedOutPage(texts, texts.loggedOut.everywhere) };
}

const order = ({ account }: Visitor, { context }: AccountPagesOptions): RevocationOrder => ({
  actor: { kind: 'person', id: account.id, address: context().address },
  reason: 'logout',
});

async function devicesOf(
  visitor: Visitor,
  { grants, provider }: AccountPagesOptions,
): Promise<ListedDevice[]> {
  const all = await grants.list({ accountId: visitor.account.id }, { limit: maxListed, offset: 0 });
  return groupByLogin(all, hashOf('SessionUid', visitor.uid), await clientNames(provider(), all));
}

/**
 * The authorization request that leads to the account page. It gets no code, so it needs no PKCE challenge.
 */
function urlOfLogin(issuer: string): string {
  const parameters = new URLSearchParams({
    client_id: accountClientId,
    response_type: 'none',
    redirect_uri: `${issuer}${accountPath}`,
    scope: 'openid',
  });
  return `${issuer}/auth?${parameters.toString()}`;
}

async function visitorOf(
  request: IncomingMessage,
  response: ServerResponse,
  { provider, accounts, context }: AccountPagesOptions,
): Promise<Visitor | undefined> {
  const koaContext = { req: request, res: response } as Parameters<Provider['Session']['get']>[0];
  const { accountId, uid, loginTs = 0 } = await provider().Session.get(koaContext);
  const account = accountId === undefined ? undefined : await accounts.find(accountId);
  if (account === undefined || account.isDisabled) return undefined;
  context().credentials = { accountId: account.id, changedAtMs: account.credentialsChangedAtMs };
  return { account, uid, loginAtMs: loginTs * 1000 };
}

const csrfToken = (key: string, uid: string): string =>
  createHmac('sha256', key).update(`account page of ${uid}`).digest('base64url');

function isToken(text: string, key: string, uid: string): boolean {
  const [given, expected] = [Buffer.from(text), Buffer.from(csrfToken(key, uid))];
  return given.length === expected.length && timingSafeEqual(given, expected);
}

async function clientNames(
  provider: Provider,
  all: readonly StoredGrant[],
): Promise<ReadonlyMap<string, string>> {
  const ids = [...new Set(all.map(({ clientId }) => clientId))];
  const named = ids.map(async (id) => {
    const client = await provider.Client.find(id);
    return [id, client?.clientName ?? id] as const;
  });
  return new Map(await Promise.all(named));
}

/** One entry for each browser login and for each session without one. This browser comes first. */
function groupByLogin(
  all: readonly StoredGrant[],
  hereHash: string,
  names: ReadonlyMap<string, string>,
): ListedDevice[] {
  const groups = Map.groupBy(all, ({ id, loginHash }) => loginHash ?? id);
  const devices = [...groups.values()].map(([newest, ...others]): ListedDevice[] => {
    if (newest === undefined) return [];
    const group = [newest, ...others];
    return [
      {
        key: newest.id,
        device: newest.device,
        address: newest.address,
        apps: [...new Set(group.map(({ clientId }) => names.get(clientId) ?? clientId))],
        createdAtMs: Math.min(...group.map(({ createdAtMs }) => createdAtMs)),
        lastUsedAtMs: newest.lastUsedAtMs,
        isHere: newest.loginHash === hereHash,
      },
    ];
  });
  return devices.flat().toSorted((a, b) => Number(b.isHere) - Number(a.isHere));
}
