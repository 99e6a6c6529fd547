import type { Clock } from '../../runtime/clock.ts';
import type { Authenticate } from '../account/authenticate.ts';
import type { PasskeyAdding, PasskeyAddition } from '../passkey/passkey-adding.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { Account } from '../store/account-store.ts';
import type { Actor, AuditAction, AuditStore } from '../store/audit-store.ts';
import type { PasskeyStore } from '../store/passkey-store.ts';
import { accountPath } from './account-client.ts';
import type { Html } from './html.ts';
import type { Page } from './interactions.ts';
import { maxNameLength, passkeysSection } from './passkeys-section.ts';
import { deviceName } from './sessions-page.ts';

export type AccountPasskeysOptions = {
  adding: PasskeyAdding;
  passkeys: PasskeyStore;
  maxPerAccount: number;
  authenticate: Authenticate;
  audit: AuditStore;
  clock: Clock;
  context(): RequestContext;
};

/** The user who is logged in at the page. */
export type Visitor = { account: Account; uid: string; loginAtMs: number };

/** The result of a change: done, or what to show. */
export type PasskeyOutcome =
  | { kind: 'done' }
  | { kind: 'problem'; text: string; status: number }
  | { kind: 'answer'; page: Page };

/** The part of the account page about passkeys. */
export type AccountPasskeys = {
  section(visitor: Visitor, page: { base: string; csrf: string; problem: string | undefined }): Promise<Html>;
  /** Handles a form whose CSRF token was checked. */
  change(visitor: Visitor, path: string, form: URLSearchParams): Promise<PasskeyOutcome>;
};

export const passkeysPath = `${accountPath}/passkeys`;
export const challengePath = `${passkeysPath}/challenge`;
const renamePath = `${passkeysPath}/rename`;
const removePath = `${passkeysPath}/remove`;

export const passkeyPaths: ReadonlySet<string> = new Set([
  passkeysPath,
  challengePath,
  renamePath,
  removePath,
]);

/** After a login, adding a passkey needs no password for this time. */
const recentLoginMs = 5 * 60 * 1000;

export function createAccountPasskeys(options: AccountPasskeysOptions): AccountPasskeys {
  const { passkeys, context, maxPerAccount } = options;
  return {
    section: async (visitor, { base, csrf, problem }) => {
      const { texts, device } = context();
      const listed = await passkeys.list(visitor.account.id);
      return passkeysSection(texts, {
        passkeys: listed,
        csrf,
        actions: {
          add: `${base}${passkeysPath}`,
          challenge: `${base}${challengePath}`,
          rename: `${base}${renamePath}`,
          remove: `${base}${removePath}`,
        },
        suggestedName: deviceName(texts, device),
        isPasswordNeeded: !isRecent(visitor, options),
        isFull: listed.length >= maxPerAccount,
        problem,
      });
    },
    change: async (visitor, path, form) => {
      switch (path) {
        case challengePath:
          return await challenge(visitor, form, options);
        case passkeysPath:
          return await add(visitor, form, options);
        case renamePath:
          return await rename(visitor, form, options);
        case removePath:
          return await remove(visitor, form, options);
        default:
          return { kind: 'done' };
      }
    },
  };
}

const isRecent = ({ loginAtMs }: Visitor, { clock }: AccountPasskeysOptions): boolean =>
  clock.nowMs() - loginAtMs <= recentLoginMs;

/** A response for the page's script. */
const json = (status: number, body: object): PasskeyOutcome => ({
  kind: 'answer',
  page: { status, body: JSON.stringify(body), isJson: true },
});

async function challenge(
  visitor: Visitor,
  form: URLSearchParams,
  options: AccountPasskeysOptions,
): Promise<PasskeyOutcome> {
  const { texts, address } = options.context();
  const { uid: loginUid } = visitor;
  let { account } = visitor;
  if (!isRecent(visitor, options)) {
    const password = form.get('password') ?? '';
    // The form has no password field: the login was recent when the page was opened.
    if (password === '') return json(403, { problem: texts.passkeys.stale });
    const attempt = { username: account.username, password, address };
    const authentication = await options.authenticate(attempt);
    if (authentication.kind === 'throttled') {
      const { retryAfterSeconds } = authentication;
      return json(429, { problem: texts.login.throttled(retryAfterSeconds) });
    }
    if (authentication.kind === 'refused' || authentication.account.id !== account.id)
      return json(403, { problem: texts.passkeys.wrongPassword });
    account = authentication.account;
  }
  const creation = await options.adding.begin({ account, loginUid });
  return creation === undefined ? json(409, { problem: texts.passkeys.full }) : json(200, creation);
}

async function add(
  visitor: Visitor,
  form: URLSearchParams,
  { adding, context }: AccountPasskeysOptions,
): Promise<PasskeyOutcome> {
  const { texts } = context();
  const addition = await adding.finish({
    answer: form.get('credential') ?? '',
    name: nameIn(form) ?? texts.passkeys.unnamed,
    accountId: visitor.account.id,
    loginUid: visitor.uid,
    actor: actorOf(visitor, context()),
  });
  if (addition === 'inserted') return { kind: 'done' };
  const status: Record<Exclude<PasskeyAddition, 'inserted'>, number> = {
    taken: 409,
    full: 409,
    outdated: 403,
    refused: 403,
  };
  return { kind: 'problem', text: texts.passkeys[addition], status: status[addition] };
}

async function rename(
  visitor: Visitor,
  form: URLSearchParams,
  { passkeys, audit, clock, context }: AccountPasskeysOptions,
): Promise<PasskeyOutcome> {
  const name = nameIn(form);
  const of = { accountId: visitor.account.id, id: form.get('passkey') ?? '' };
  if (name === undefined) return { kind: 'done' };
  const entry = entryOf('passkey.rename', visitor, of.id, context());
  await passkeys.rename(of, name, (trx) => audit.record(trx, entry, clock.nowMs()));
  return { kind: 'done' };
}

async function remove(
  visitor: Visitor,
  form: URLSearchParams,
  { passkeys, audit, clock, context }: AccountPasskeysOptions,
): Promise<PasskeyOutcome> {
  const of = { accountId: visitor.account.id, id: form.get('passkey') ?? '' };
  const entry = entryOf('passkey.remove', visitor, of.id, context());
  // Another tab may have removed it already.
  await passkeys.remove(of, (trx) => audit.record(trx, entry, clock.nowMs()));
  return { kind: 'done' };
}

const actorOf = ({ account }: Visitor, { address }: RequestContext): Actor => ({
  kind: 'person',
  id: account.id,
  address,
});

const entryOf = (action: AuditAction, visitor: Visitor, passkey: string, context: RequestContext) => ({
  actor: actorOf(visitor, context),
  action,
  target: visitor.account.id,
  details: { passkey },
});

/**
 * The name in a form; undefined if empty. It is shown on pages and terminals, so control characters are
 * removed.
 */
function nameIn(form: URLSearchParams): string | undefined {
  const text = (form.get('name') ?? '').normalize('NFC').replaceAll(/\p{C}/gu, '').trim();
  return text === '' ? undefined : Array.from(text).slice(0, maxNameLength).join('');
}
