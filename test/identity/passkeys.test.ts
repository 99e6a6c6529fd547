import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { changePassword, disableUser, listPasskeys } from '../../src/identity/operator/account-commands.ts';
import { listAudit } from '../../src/identity/operator/session-commands.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { createAuthenticator, type Authenticator, type Deviation } from './authenticator.ts';
import { openBrowser, type Browser, type Visit } from './browser.ts';
import { onEachDatabase, query } from './databases.ts';
import { authorization, exchange, openLoginPage, payloadOf, submitLogin } from './flows.ts';
import { password, startIdentity, type TestIdentity } from './identity-server.ts';
import {
  addPasskey,
  askToAdd,
  atLocalhost,
  beginPasskeyLogin,
  creationOptions,
  formTo,
  logInAtAccount,
  openAccount,
  sendCredential,
  type PendingLogin,
} from './passkey-flows.ts';

const notAccepted = 'This passkey was not accepted';

type Person = {
  username: string;
  id: string;
  authenticator: Authenticator;
  browser: Browser;
  /** Their own page, with the passkey on it. */
  page: Visit;
};

let people = 0;

/** Somebody with a passkey. */
async function person(identity: TestIdentity): Promise<Person> {
  people += 1;
  const username = `person${people}`;
  const id = await identity.addUser(username);
  const authenticator = createAuthenticator(identity.issuer);
  const at = await logInAtAccount(identity, username);
  const page = await addPasskey(identity, at, authenticator);
  expect(page.body).toContain('<h3>My key</h3>');
  return { username, id, authenticator, browser: at.browser, page };
}

/** Whether the passkey logs its owner in, in a new browser. */
async function logsIn(identity: TestIdentity, authenticator: Authenticator): Promise<boolean> {
  const pending = await beginPasskeyLogin(identity);
  const answer = await sendCredential(pending, authenticator.get(pending.options));
  expect([303, 401]).toContain(answer.status);
  return answer.status === 303;
}

const outcomeOf = ({ status, body }: Visit) => ({ status, isNotAccepted: body.includes(notAccepted) });
const refused = { status: 401, isNotAccepted: true };

onEachDatabase('logging in with a passkey', ({ start }) => {
  let identity: TestIdentity;
  let ada: Person;

  beforeAll(async () => {
    identity = await start(await atLocalhost());
  });
  afterAll(() => identity.stop());
  // A new one each time: tries at one passkey are counted.
  beforeEach(async () => {
    ada = await person(identity);
  });

  it('needs no user name, and tells the client the authentication method', async () => {
    const pending = await beginPasskeyLogin(identity);
    expect(pending.options).toMatchObject({ rpId: 'localhost', userVerification: 'required' });
    expect(pending.options).not.toHaveProperty('allowCredentials');
    const answer = await sendCredential(pending, ada.authenticator.get(pending.options));
    const left = await pending.browser.follow(answer, identity.issuer);
    const tokens = await exchange(pending.begun, left);
    expect(payloadOf(tokens.access)['sub']).toBe(ada.id);
    expect(payloadOf(tokens.id ?? '')['amr']).toEqual(['pop', 'mfa']);
    const [passkey] = (await listPasskeys(identity.config, ada.username)) ?? [];
    expect(passkey?.lastUsedAtMs).toBeGreaterThan(passkey?.createdAtMs ?? Infinity);
  });

  it('tells the client about a password login, too', async () => {
    const browser = openBrowser();
    const begun = await authorization(identity);
    const page = await openLoginPage(identity, browser, begun.url);
    const tokens = await exchange(begun, await submitLogin(identity, browser, page, ada.username));
    expect(payloadOf(tokens.id ?? '')['amr']).toEqual(['pwd']);
  });

  it('allows only its own script, which may only call identity', async () => {
    const { page } = await beginPasskeyLogin(identity);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toMatch(/script-src 'sha256-[\w+/]+=*'; connect-src 'self'; form-action/);
    expect(policy).toContain("default-src 'none'");
    expect(page.body.match(/<script/g)).toHaveLength(1);
  });

  const port = (): number => Number(new URL(identity.issuer).port);

  it.each<[string, () => Deviation]>([
    ['that was asked for at another port of this host', () => ({ origin: `http://localhost:${port() + 1}` })],
    ['that was asked for at another scheme', () => ({ origin: `https://localhost:${port()}` })],
    ['that was asked for at a subdomain', () => ({ origin: `http://evil.localhost:${port()}` })],
    ['of another domain', () => ({ rpId: 'example.org' })],
    ['from a frame in a page of another site', () => ({ crossOrigin: true })],
    ['without the person having been verified', () => ({ isVerified: false })],
    ['without the person having been there', () => ({ isPresent: false })],
    ['made for adding a passkey', () => ({ type: 'webauthn.create' })],
    ['of no challenge of ours', () => ({ challenge: 'A'.repeat(43) })],
    ['with a challenge that is none', () => ({ challenge: '' })],
    ['without the handle of its owner', () => ({ userHandle: undefined })],
    ['with an empty handle', () => ({ userHandle: '' })],
    ['with the name for a handle', () => ({ userHandle: Buffer.from(ada.username).toString('base64url') })],
    ['with the subject for a handle', () => ({ userHandle: Buffer.from(ada.id).toString('base64url') })],
    ['of an unknown id', () => ({ credentialId: 'B'.repeat(22) })],
    ['with another signature', () => ({ more: { signature: 'MEUCIQDx' } })],
    ['with a number for a signature', () => ({ more: { signature: 1 } })],
    ['with a signature that is too long', () => ({ more: { signature: 'A'.repeat(2000) } })],
  ])('refuses an answer %s', async (_, deviation) => {
    const pending = await beginPasskeyLogin(identity);
    const credential = ada.authenticator.get(pending.options, undefined, deviation());
    expect(outcomeOf(await sendCredential(pending, credential))).toEqual(refused);
    expect(await logsIn(identity, ada.authenticator)).toBe(true);
  });

  it.each(['', '{', 'null', '[]', '{"id":"a"}', '{"id":"a","rawId":"a","type":"public-key","response":{}}'])(
    'refuses what is no answer: %j',
    async (text) => {
      expect(outcomeOf(await sendCredential(await beginPasskeyLogin(identity), text))).toEqual(refused);
    },
  );

  it("refuses a response with another account's user handle", async () => {
    const other = await person(identity);
    const pending = await beginPasskeyLogin(identity);
    const userHandle = other.authenticator.held[0]?.userHandle;
    const credential = ada.authenticator.get(pending.options, undefined, { userHandle });
    expect(outcomeOf(await sendCredential(pending, credential))).toEqual(refused);
  });

  it('accepts each challenge once, whatever the result', async () => {
    const pending = await beginPasskeyLogin(identity);
    const unverified = ada.authenticator.get(pending.options, undefined, { isVerified: false });
    expect(outcomeOf(await sendCredential(pending, unverified))).toEqual(refused);
    expect(outcomeOf(await sendCredential(pending, ada.authenticator.get(pending.options)))).toEqual(refused);
    const second = await beginPasskeyLogin(identity);
    const credential = ada.authenticator.get(second.options);
    const answers = await Promise.all([1, 2, 3].map(() => sendCredential(second, credential)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([303, 401, 401]);
  });

  it("refuses a challenge of another pending login, so that an attacker can't log a user in", async () => {
    const mine = await beginPasskeyLogin(identity);
    const theirs = await beginPasskeyLogin(identity);
    expect(outcomeOf(await sendCredential(mine, ada.authenticator.get(theirs.options)))).toEqual(refused);
    const sameBrowser = await beginPasskeyLogin(identity, mine.browser);
    const again = await beginPasskeyLogin(identity, mine.browser);
    expect(outcomeOf(await sendCredential(again, ada.authenticator.get(sameBrowser.options)))).toEqual(
      refused,
    );
  });

  it('refuses a challenge that was made for adding a passkey', async () => {
    const { challenge } = creationOptions(await askToAdd(ada.browser, ada.page));
    const pending = await beginPasskeyLogin(identity);
    const credential = ada.authenticator.get({ challenge, rpId: 'localhost' });
    expect(outcomeOf(await sendCredential(pending, credential))).toEqual(refused);
  });

  it('refuses a signature whose counter did not increase, and accepts the next one', async () => {
    const { authenticator } = await person(identity);
    const send = async (counter: number): Promise<number> => {
      const pending = await beginPasskeyLogin(identity);
      const credential = authenticator.get(pending.options, undefined, { counter });
      return (await sendCredential(pending, credential)).status;
    };
    expect([await send(7), await send(7), await send(3), await send(0), await send(8)]).toEqual([
      303, 401, 401, 401, 303,
    ]);
    expect(identity.logged()).toContain('it may have been copied');
  });

  it('accepts passkeys without a counter, such as synced ones', async () => {
    const { authenticator } = await person(identity);
    for (let turn = 0; turn < 2; turn += 1) {
      const pending = await beginPasskeyLogin(identity);
      const credential = authenticator.get(pending.options, undefined, { counter: 0 });
      expect((await sendCredential(pending, credential)).status).toBe(303);
    }
  });

  it('refuses the passkey of a disabled account like an unknown one', async () => {
    const { username, authenticator } = await person(identity);
    await disableUser(identity.config, username);
    const pending = await beginPasskeyLogin(identity);
    const disabled = await sendCredential(pending, authenticator.get(pending.options));
    const unknown = createAuthenticator(identity.issuer);
    unknown.create({ challenge: '', rp: { id: 'localhost' }, user: { id: 'QQ' } });
    const other = await beginPasskeyLogin(identity, pending.browser);
    const nobody = await sendCredential(other, unknown.get(other.options));
    expect(outcomeOf(disabled)).toEqual(refused);
    const text = ({ body, url }: Visit): string =>
      body.replaceAll(new URL(url).pathname.split('/')[2] ?? '', '');
    expect(text(disabled)).toBe(text(nobody));
  });

  it('refuses forms from another site and forms that are too long', async () => {
    const pending = await beginPasskeyLogin(identity);
    const { browser, form, options } = pending;
    const credential = ada.authenticator.get(options);
    const foreign = { origin: 'http://localhost:1' };
    expect((await browser.post(form.action, { credential }, foreign)).status).toBe(403);
    expect((await browser.post(`${form.action}-challenge`, {}, foreign)).status).toBe(403);
    expect((await browser.post(form.action, { credential: 'A'.repeat(20_000) })).status).toBe(413);
    expect((await sendCredential(pending, credential)).status).toBe(303);
  });

  it('gives no challenge to a browser without a pending login', async () => {
    const { form } = await beginPasskeyLogin(identity);
    expect((await openBrowser().post(`${form.action}-challenge`, {})).status).toBe(400);
  });
});

onEachDatabase('adding a passkey', ({ start }) => {
  let identity: TestIdentity;

  beforeAll(async () => {
    identity = await start({ ...(await atLocalhost()), limits: { passkeysPerAccount: 3 } });
  });
  afterAll(() => identity.stop());

  const audit = async (): Promise<unknown[]> =>
    (await listAudit(identity.config, 10)).map(({ action, target, actor }) => [action, target, actor.kind]);

  it('requests a discoverable credential, and reveals neither user name nor subject to the authenticator', async () => {
    const { username, id, browser, page } = await person(identity);
    const options = creationOptions(await askToAdd(browser, page));
    expect(options).toMatchObject({
      rp: { id: 'localhost' },
      attestation: 'none',
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
      excludeCredentials: [{ type: 'public-key', transports: ['internal', 'hybrid'] }],
    });
    const handle = Buffer.from(options.user.id, 'base64url').toString('latin1');
    expect(handle).toHaveLength(32);
    expect(handle).not.toContain(username);
    expect(handle).not.toContain(id);
    expect(await audit()).toContainEqual(['passkey.add', id, 'person']);
  });

  it("lets its owner rename and remove it; a removed one can't log in", async () => {
    const { id, authenticator, browser, page } = await person(identity);
    const renaming = formTo(page, '/rename');
    const answer = await browser.post(renaming.action, {
      ...renaming.fields,
      name: ' <b>Telephone\u202e\u0007 ',
    });
    const renamed = await browser.follow(answer, identity.issuer);
    expect(renamed.body).toContain('<h3>&lt;b&gt;Telephone</h3>');
    const removing = formTo(renamed, '/remove');
    const removed = await browser.follow(
      await browser.post(removing.action, removing.fields),
      identity.issuer,
    );
    expect(removed.body).toContain('You have no passkey yet.');
    expect(await logsIn(identity, authenticator)).toBe(false);
    expect(await audit()).toContainEqual(['passkey.rename', id, 'person']);
    expect(await audit()).toContainEqual(['passkey.remove', id, 'person']);
  });

  it('lets nobody else rename or remove it', async () => {
    const ada = await person(identity);
    const mallory = await person(identity);
    const passkey = formTo(ada.page, '/remove').fields['passkey'] ?? '';
    for (const end of ['/rename', '/remove']) {
      const { action, fields } = formTo(mallory.page, end);
      await mallory.browser.post(action, { ...fields, passkey, name: 'Mine now' });
    }
    expect((await openAccount(identity, ada.browser)).body).toContain('<h3>My key</h3>');
    expect(await logsIn(identity, ada.authenticator)).toBe(true);
  });

  it.each<[string, Deviation]>([
    ['at another port of this host', { origin: 'http://localhost:1' }],
    ['for another domain', { rpId: 'example.org' }],
    ['without the person having been verified', { isVerified: false }],
    ['without the person having been there', { isPresent: false }],
    ['as for logging in', { type: 'webauthn.get' }],
    ['in a frame in a page of another site', { crossOrigin: true }],
    ['for no challenge of ours', { challenge: 'A'.repeat(43) }],
    ['with an attestation that nobody knows', { attestation: { fmt: 'own', attStmt: new Map() } }],
    ['with an attestation that is too long', { more: { attestationObject: 'A'.repeat(6000) } }],
  ])('refuses one that was made %s', async (_, deviation) => {
    const username = `maker${(people += 1)}`;
    await identity.addUser(username);
    const authenticator = createAuthenticator(identity.issuer);
    const at = await logInAtAccount(identity, username);
    const answer = await addPasskey(identity, at, authenticator, { deviation });
    expect(answer.status).toBe(403);
    expect(answer.body).toContain(notAccepted);
    expect(await listPasskeys(identity.config, username)).toEqual([]);
  });

  it('refuses an id beside the one that was signed', async () => {
    const { username, browser, page } = await person(identity);
    const options = creationOptions(await askToAdd(browser, page));
    const credential = JSON.parse(createAuthenticator(identity.issuer).create(options)) as object;
    const forged = JSON.stringify({ ...credential, id: 'C'.repeat(22), rawId: 'C'.repeat(22) });
    const { action, fields } = formTo(page, '/account/passkeys');
    expect((await browser.post(action, { ...fields, name: 'x', credential: forged })).status).toBe(403);
    expect(await listPasskeys(identity.config, username)).toHaveLength(1);
  });

  it('refuses the credential id of another account, which keeps it', async () => {
    const ada = await person(identity);
    const mallory = await person(identity);
    const credentialId = ada.authenticator.held[0]?.id ?? '';
    const answer = await addPasskey(identity, mallory, mallory.authenticator, {
      deviation: { credentialId },
    });
    expect(answer.status).toBe(409);
    expect(await logsIn(identity, ada.authenticator)).toBe(true);
    expect(await logsIn(identity, mallory.authenticator)).toBe(false);
    expect(await listPasskeys(identity.config, mallory.username)).toHaveLength(1);
  });

  it('refuses the response to a challenge of another login, even of the same user', async () => {
    const ada = await person(identity);
    const mallory = await person(identity);
    const elsewhere = await logInAtAccount(identity, ada.username);
    const { action, fields } = formTo(ada.page, '/account/passkeys');
    for (const { browser, page } of [mallory, elsewhere]) {
      const options = creationOptions(await askToAdd(browser, page));
      const credential = createAuthenticator(identity.issuer).create(options);
      expect((await ada.browser.post(action, { ...fields, name: 'x', credential })).status).toBe(403);
    }
    const { challenge } = (await beginPasskeyLogin(identity)).options;
    const options = { challenge, rp: { id: 'localhost' }, user: { id: 'QQ' } };
    const credential = createAuthenticator(identity.issuer).create(options);
    expect((await ada.browser.post(action, { ...fields, name: 'x', credential })).status).toBe(403);
    expect(await listPasskeys(identity.config, ada.username)).toHaveLength(1);
  });

  it('accepts a challenge once', async () => {
    const { username, browser, page } = await person(identity);
    const options = creationOptions(await askToAdd(browser, page));
    const { action, fields } = formTo(page, '/account/passkeys');
    const send = async (): Promise<number> => {
      const credential = createAuthenticator(identity.issuer).create(options);
      return (await browser.post(action, { ...fields, name: 'x', credential })).status;
    };
    expect([await send(), await send()]).toEqual([303, 403]);
    expect(await listPasskeys(identity.config, username)).toHaveLength(2);
  });

  it('refuses forms from another site, of another login, or without a login', async () => {
    const { username, browser, page } = await person(identity);
    const mallory = await person(identity);
    const { action, fields } = formTo(page, '/account/passkeys');
    const hers = formTo(mallory.page, '/account/passkeys').fields;
    const foreign = { origin: 'http://localhost:1' };
    for (const path of [action, `${action}/challenge`, `${action}/remove`]) {
      expect((await browser.post(path, fields, foreign)).status).toBe(403);
      expect((await browser.post(path, { ...fields, csrf: hers['csrf'] ?? '' })).status).toBe(403);
      expect((await browser.post(path, { ...fields, credential: 'A'.repeat(20_000) })).status).toBe(403);
      expect([303, 401]).toContain((await openBrowser().post(path, fields)).status);
    }
    expect((await openBrowser().post(`${action}/challenge`, fields)).status).toBe(401);
    expect(await listPasskeys(identity.config, username)).toHaveLength(1);
  });

  it('stops at the limit, even for concurrent requests', async () => {
    const { username, browser, page } = await person(identity);
    const authenticator = createAuthenticator(identity.issuer);
    const asked = await Promise.all([1, 2, 3, 4].map(() => askToAdd(browser, page)));
    const { action, fields } = formTo(page, '/account/passkeys');
    const answers = await Promise.all(
      asked.map((one, index) => {
        const credential = authenticator.create(creationOptions(one));
        return browser.post(action, { ...fields, name: `key ${index}`, credential });
      }),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([303, 303, 409, 409]);
    expect(await listPasskeys(identity.config, username)).toHaveLength(3);
    const more = await askToAdd(browser, page);
    expect([more.status, more.body]).toEqual([409, expect.stringContaining('as many passkeys')]);
    expect((await openAccount(identity, browser)).body).toContain('You have as many passkeys');
  });

  it('is refused when the password changes meanwhile, which also removes the other passkeys', async () => {
    const { username, authenticator, browser, page } = await person(identity);
    const other = await logInAtAccount(identity, username);
    const options = creationOptions(await askToAdd(browser, page));
    const change = await changePassword(identity.config, { username, password: 'another password' });
    expect(change?.passkeys).toEqual({ removed: 1, kept: 0 });
    const credential = createAuthenticator(identity.issuer).create(options);
    const { action, fields } = formTo(page, '/account/passkeys');
    const answer = await browser.post(action, { ...fields, name: 'x', credential });
    expect(answer.location).toContain('/auth?');
    expect(await listPasskeys(identity.config, username)).toEqual([]);
    expect(await logsIn(identity, authenticator)).toBe(false);
    expect((await openAccount(identity, other.browser)).body).toContain('name="password"');
    expect((await listAudit(identity.config, 2))[1]).toMatchObject({
      action: 'passkey.remove',
      details: { passkeys: 1, reason: 'password' },
    });
  });

  it('survives a password change if the operator says so', async () => {
    const { username, authenticator } = await person(identity);
    const user = { username, password: 'another password' };
    const change = await changePassword(identity.config, user, { keepsPasskeys: true });
    expect(change?.passkeys).toEqual({ removed: 0, kept: 1 });
    expect(await logsIn(identity, authenticator)).toBe(true);
  });

  it('deletes answered challenges, and stores none readable', async () => {
    const { browser, page } = await person(identity);
    const { challenge } = creationOptions(await askToAdd(browser, page));
    const rows = await query(
      identity,
      sql<{ payload: string }>`select * from identity_tokens where kind = 'PasskeyChallenge'`,
    );
    expect(rows.length).toBeGreaterThan(0);
    expect(JSON.stringify(rows)).not.toContain(challenge);
    expect(JSON.stringify(rows)).not.toContain('loginUid');
  });
});

onEachDatabase('passkeys over time', ({ start }) => {
  let identity: TestIdentity;
  let aheadMs = 0;
  const clock: Clock = {
    nowMs: () => Date.now() + aheadMs,
    monotonicMs: () => performance.now() + aheadMs,
  };

  beforeEach(async () => {
    aheadMs = 0;
    identity = await start(await atLocalhost(), { clock });
  });
  afterEach(() => identity.stop());

  it('are refused when the challenge has expired', async () => {
    const { authenticator } = await person(identity);
    const answerAfter = async (ms: number): Promise<number> => {
      const pending: PendingLogin = await beginPasskeyLogin(identity);
      aheadMs += ms;
      return (await sendCredential(pending, authenticator.get(pending.options))).status;
    };
    expect([await answerAfter(295_000), await answerAfter(301_000)]).toEqual([303, 401]);
  });

  it('are added without a password just after a login, and with it later', async () => {
    const { authenticator, browser, page } = await person(identity);
    expect(page.body).not.toContain('name="password"');
    aheadMs += 301_000;
    const later = await openAccount(identity, browser);
    expect(later.body).toContain('name="password"');
    for (const [more, problem] of [
      [{}, 'Load this page again'],
      [{ password: '' }, 'Load this page again'],
      [{ password: 'a wrong password' }, 'The password is wrong.'],
    ] as const) {
      const refused = await askToAdd(browser, later, more);
      expect([refused.status, refused.body]).toEqual([403, expect.stringContaining(problem)]);
    }
    const at = { browser, page: later };
    const added = await addPasskey(identity, at, authenticator, { name: 'Second', more: { password } });
    expect(added.body).toContain('<h3>Second</h3>');
  });

  it('can be added only after a bounded number of wrong passwords', async () => {
    const { browser } = await person(identity);
    aheadMs += 301_000;
    const page = await openAccount(identity, browser);
    const statuses = [];
    for (let attempt = 0; attempt < 11; attempt += 1)
      statuses.push((await askToAdd(browser, page, { password: 'a wrong password' })).status);
    expect(statuses.at(-2)).toBe(403);
    expect(statuses.at(-1)).toBe(429);
    expect((await askToAdd(browser, page, { password })).status).toBe(429);
  });

  it('allow a bounded number of attempts', async () => {
    const { authenticator } = await person(identity);
    aheadMs += 3_600_000;
    const before = await identity.metric('curfew_logins_total{result="refused"}');
    const statuses = [];
    let retryAfter: string | null = null;
    for (let attempt = 0; attempt < 11; attempt += 1) {
      const pending = await beginPasskeyLogin(identity);
      const credential = authenticator.get(pending.options, undefined, { isVerified: false });
      const answer = await sendCredential(pending, credential);
      statuses.push(answer.status);
      retryAfter = answer.headers.get('retry-after');
    }
    expect(Number(retryAfter)).toBeGreaterThan(0);
    expect(statuses).toEqual([...Array.from({ length: 10 }, () => 401), 429]);
    expect(await identity.metric('curfew_logins_total{result="refused"}')).toBe(before + 10);
    aheadMs += 3_600_000;
    expect(await logsIn(identity, authenticator)).toBe(true);
  });
});

describe('with passkeys disabled', () => {
  it.each([
    [
      'the configuration says so',
      { accounts: { passkeys: { enabled: false } } },
      atLocalhost,
      'by configuration',
    ],
    ['the issuer is an address', {}, () => Promise.resolve({}), 'not for IP addresses'],
  ])('because %s, nothing is shown of them, and nothing taken', async (_, more, place, reason) => {
    const identity = await startIdentity({ ...(await place()), ...more });
    try {
      await identity.addUser('grace');
      expect(identity.logged()).toMatch(new RegExp(`passkeys disabled.*${reason}`));
      const { browser, page } = await logInAtAccount(identity, 'grace');
      expect(page.body).not.toContain('passkey');
      const { csrf = '' } = formTo(page, '/logout-everywhere').fields;
      const asked = await browser.post(`${identity.issuer}/account/passkeys/challenge`, { csrf });
      expect([asked.status, asked.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
      const begun = await authorization(identity, { more: { prompt: 'login' } });
      const stranger = openBrowser();
      const login = await openLoginPage(identity, stranger, begun.url);
      expect(login.body).not.toContain('passkey');
      expect(login.headers.get('content-security-policy')).toContain('script-src;');
      const answer = await stranger.post(`${login.url}/passkey`, { credential: '{}' });
      expect(answer.body).toContain('name="password"');
    } finally {
      await identity.stop();
    }
  });
});
