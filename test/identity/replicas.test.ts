import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as client from 'openid-client';
import { neverPrinted } from '../output.ts';
import { freePort } from '../processes.ts';
import { createAuthenticator } from './authenticator.ts';
import { openBrowser } from './browser.ts';
import { query } from './databases.ts';
import { exchange, authorization, headerOf, login, openLoginPage, refresh, submitLogin } from './flows.ts';
import { startIdentity, type TestIdentity } from './identity-server.ts';
import { addPasskey, beginPasskeyLogin, logInAtAccount, sendCredential } from './passkey-flows.ts';
import { startPostgres, type PostgresServer } from './postgres-server.ts';

describe('two replicas of identity on one PostgreSQL', () => {
  let postgres: PostgresServer;
  let one: TestIdentity;
  let other: TestIdentity;

  beforeAll(async () => {
    postgres = await startPostgres();
    const database = { postgres: { url: await postgres.createDatabase() } };
    const [first, second] = [await freePort(), await freePort()];
    const issuer = `http://localhost:${first}`;
    // At once: one of them migrates and makes the keys.
    [one, other] = (await Promise.all(
      [first, second].map((port) => startIdentity({ issuer, listen: `127.0.0.1:${port}`, database })),
    )) as [TestIdentity, TestIdentity];
    await one.addUser('lise');
  });
  afterAll(async () => {
    await Promise.all([one.stop(), other.stop()]);
    await postgres.stop();
  });

  const addressOf = ({ config: { listen } }: TestIdentity): string =>
    `http://localhost:${listen.kind === 'tcp' ? listen.port : 0}`;

  const refreshAt = async (identity: TestIdentity, token: string): Promise<Response> => {
    const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'cli', refresh_token: token });
    return await fetch(`${addressOf(identity)}/token`, { method: 'POST', body });
  };

  it('share their keys; a session begun at one continues at the other', async () => {
    const tokens = await login(one, 'lise');
    const answer = await refreshAt(other, tokens.refresh);
    const { access_token: access = '' } = (await answer.json()) as { access_token?: string };
    expect(answer.status).toBe(200);
    expect(headerOf(access)['kid']).toBe(headerOf(tokens.access)['kid']);
  });

  it("accept a passkey's response to the other replica's challenge, once in total", async () => {
    const authenticator = createAuthenticator(one.issuer);
    await addPasskey(one, await logInAtAccount(one, 'lise'), authenticator);
    const pending = await beginPasskeyLogin(one);
    const credential = authenticator.get(pending.options);
    const atOther = { ...pending.form, action: pending.form.action.replace(one.issuer, addressOf(other)) };
    const answers = await Promise.all([
      sendCredential({ ...pending, form: atOther }, credential),
      sendCredential(pending, credential),
      sendCredential({ ...pending, form: atOther }, credential),
    ]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([303, 401, 401]);
    const again = await beginPasskeyLogin(one);
    const there = { ...again.form, action: again.form.action.replace(one.issuer, addressOf(other)) };
    const answer = await sendCredential({ ...again, form: there }, authenticator.get(again.options));
    expect(answer.status).toBe(303);
  });

  it('issue the same successor for a refresh token in fifty concurrent requests', async () => {
    const tokens = await login(one, 'lise');
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => refreshAt(index % 2 === 0 ? one : other, tokens.refresh)),
    );
    const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as {
      refresh_token?: string;
    }[];
    const successors = new Set(bodies.map((body) => body.refresh_token));
    expect(successors.size).toBe(1);
    const [successor = ''] = successors;
    neverPrinted(successor);
    const unused = sql`select 1 as one from identity_tokens
      where grant_id = ${tokens.session} and consumed_at_ms is null`;
    expect(await query(one, unused)).toHaveLength(1);
    expect((await refreshAt(other, successor)).status).toBe(200);
  });

  it('see a logout at the other replica at once', async () => {
    const tokens = await login(one, 'lise');
    const party = await one.relyingParty('cli');
    await client.tokenRevocation(party, tokens.refresh);
    expect((await refreshAt(other, tokens.refresh)).status).toBe(400);
  });

  it('complete a login that began at the other replica', async () => {
    const browser = openBrowser();
    const begun = await authorization(one);
    const page = await openLoginPage(one, browser, begun.url);
    const { listen } = other.config;
    const port = listen.kind === 'tcp' ? listen.port : 0;
    // The same cookies, as behind a load balancer: cookies know no port.
    const elsewhere = { ...page, url: page.url.replace(new URL(one.issuer).host, `127.0.0.1:${port}`) };
    const left = await submitLogin(one, browser, elsewhere, 'lise');
    const tokens = await exchange(begun, left);
    expect((await refresh(one, tokens, 'web')).session).toBe(tokens.session);
  });
});
