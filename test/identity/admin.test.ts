import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import * as client from 'openid-client';
import * as v from 'valibot';
import { createAdminClient } from '../../src/identity/admin/admin-client.ts';
import { operations, type Operation } from '../../src/identity/admin/operations.ts';
import { secretFromText } from '../../src/runtime/secret.ts';
import { eventually, freePort } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { onEachDatabase } from './databases.ts';
import { headerOf, logInBrowser, login, payloadOf, refresh } from './flows.ts';
import { gatewaySecret, type TestIdentity } from './identity-server.ts';

const invalidGrant = expect.objectContaining({ error: 'invalid_grant' });
const adminAudience = 'urn:curfew:admin';

type Answer = { status: number; headers: Headers; body: Record<string, unknown> };

/** Every answer is as the document says it is. */
function assertDescribed({ status, answer, path }: Operation, actual: number, body: unknown): void {
  const [issue] = v.safeParse(answer, body).issues ?? [];
  if (actual !== status || issue !== undefined)
    throw new Error(`${path} answered ${actual}: ${issue?.message ?? 'another status than described'}`);
}

onEachDatabase('the administration API', ({ start }) => {
  let redis: RedisServer;
  let identity: TestIdentity;
  let console: string;
  let helpdesk: string;

  beforeAll(async () => {
    redis = await startRedis();
    identity = await start({ redis: { url: redis.url } });
    await identity.addUser('vera');
    await identity.addUser('cecilia');
    [console, helpdesk] = [await tokenOf('console'), await tokenOf('helpdesk', 'sessions:read')];
  });
  afterAll(async () => {
    await identity.stop();
    await redis.stop();
  });

  async function tokenOf(clientId: string, scope?: string): Promise<string> {
    const party = await identity.relyingParty(clientId, client.ClientSecretBasic(gatewaySecret));
    const all = 'sessions:read sessions:revoke everything:revoke keys:read keys:manage audit:read';
    const answer = await client.clientCredentialsGrant(party, {
      resource: adminAudience,
      scope: scope ?? all,
    });
    return answer.access_token;
  }

  async function call(
    method: 'GET' | 'POST',
    path: string,
    options: { token?: string; body?: unknown } = {},
  ): Promise<Answer> {
    const { token = console, body } = options;
    const answer = await fetch(`${identity.issuer}/admin${path}`, {
      method,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        'content-type': 'application/json',
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const json = (await answer.json()) as Record<string, unknown>;
    const known: Operation | undefined = Object.values(operations).find(
      (one) => one.method === method && one.path === `/admin${path.split('?', 1)[0]}`,
    );
    if (answer.ok && known !== undefined) assertDescribed(known, answer.status, json);
    return { status: answer.status, headers: answer.headers, body: json };
  }

  const revoke = (body: unknown, token = console): Promise<Answer> =>
    call('POST', '/v1/revocations', { body, token });

  it('describes itself, every operation with its scopes', async () => {
    const { status, body } = await call('GET', '/openapi.json', { token: '' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ openapi: '3.1.0', servers: [{ url: identity.issuer }] });
    const paths = body['paths'] as Record<string, Record<string, { operationId: string; security: unknown }>>;
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(
        ([method, { operationId }]) => `${method.toUpperCase()} ${path} ${operationId}`,
      ),
    );
    expect(described.toSorted((a, b) => a.localeCompare(b))).toEqual(
      Object.entries(operations)
        .map(([name, { method, path }]) => `${method} ${path} ${name}`)
        .toSorted((a, b) => a.localeCompare(b)),
    );
    expect(paths['/admin/v1/audit']?.['get']?.security).toEqual([{ client: ['audit:read'] }]);
    const text = JSON.stringify(body);
    for (const [, reference = ''] of text.matchAll(/"\$ref":"#(?<pointer>[^"]+)"/g))
      expect(at(body, reference)).toBeDefined();
  });

  const at = (document: unknown, pointer: string): unknown =>
    pointer
      .split('/')
      .slice(1)
      .reduce((value: unknown, key) => (value as Record<string, unknown>)[key], document);

  it('lists sessions by user, subject and client, page by page', async () => {
    const first = await login(identity, 'vera');
    const { tokens: web } = await logInBrowser(identity, 'vera');
    await login(identity, 'cecilia');
    const subject = String(payloadOf(first.access)['sub']);
    const ids = async (query: string): Promise<unknown[]> =>
      ((await call('GET', `/v1/sessions${query}`)).body['sessions'] as { id: string }[]).map(({ id }) => id);
    expect(await ids('?user=VERA')).toEqual([web.session, first.session]);
    expect(await ids(`?subject=${subject}&client=cli`)).toEqual([first.session]);
    expect(await ids('?user=nobody')).toEqual([]);
    expect(await ids(`?user=cecilia&subject=${subject}`)).toEqual([]);
    const page = await call('GET', '/v1/sessions?user=vera&limit=1');
    expect(page.body).toMatchObject({
      sessions: [{ id: web.session, username: 'vera', subject, client: 'web', address: '127.0.0.1' }],
      next: 1,
    });
    expect(await ids('?user=vera&limit=1&offset=1')).toEqual([first.session]);
  });

  it('revokes a session and returns its sequence number in the log', async () => {
    const tokens = await login(identity, 'vera');
    const { body } = await revoke({ kind: 'session', id: tokens.session, reason: 'helpdesk-4711' });
    expect(body).toEqual({ log: 'curfew', seq: expect.any(Number), published: true, sessionsEnded: 1 });
    await expect(refresh(identity, tokens)).rejects.toEqual(invalidGrant);
  });

  it('revokes by user, by client, and everything', async () => {
    const [vera, cecilia] = [await login(identity, 'vera'), await login(identity, 'cecilia')];
    await revoke({ kind: 'subject', id: 'vera' });
    await expect(refresh(identity, vera)).rejects.toEqual(invalidGrant);
    const next = await refresh(identity, cecilia);
    await revoke({ kind: 'client', id: 'cli' });
    await expect(refresh(identity, next)).rejects.toEqual(invalidGrant);
    const { tokens } = await logInBrowser(identity, 'cecilia');
    expect((await revoke({ kind: 'everything' })).body['published']).toBe(true);
    await expect(refresh(identity, tokens, 'web')).rejects.toEqual(invalidGrant);
    // Its own token is one of everything.
    expect((await call('GET', '/v1/keys')).status).toBe(401);
    await eventually('tokens younger than the cut-off', async () => {
      console = await tokenOf('console');
      return (await call('GET', '/v1/keys')).status === 200 ? true : undefined;
    });
    helpdesk = await tokenOf('helpdesk', 'sessions:read');
  });

  it('lists, rotates and revokes keys', async () => {
    const before = await login(identity, 'vera');
    const kid = String(headerOf(before.access)['kid']);
    const added = await call('POST', '/v1/keys');
    expect((await call('GET', '/v1/keys')).body['keys']).toMatchObject([
      { id: kid, state: 'signing', encrypted: false },
      { id: added.body['id'], state: 'next' },
    ]);
    expect((await revoke({ kind: 'key', id: kid, reason: 'leaked' })).body['published']).toBe(true);
    const after = await refresh(identity, before);
    expect(headerOf(after.access)['kid']).toBe(added.body['id']);
    // The token it was called with is signed by that key, too.
    expect((await call('GET', '/v1/keys')).status).toBe(401);
    [console, helpdesk] = [await tokenOf('console'), await tokenOf('helpdesk', 'sessions:read')];
    expect((await call('GET', '/v1/keys')).body['keys']).toMatchObject([{ state: 'signing' }]);
  });

  it('serves a remote command line and explains refusals', async () => {
    const at = (clientId: string, secret = gatewaySecret, url = identity.issuer) =>
      createAdminClient({
        url,
        credentials: { kind: 'client', clientId, clientSecret: secretFromText(secret) },
      });
    const tokens = await login(identity, 'vera');
    const order = { kind: 'session', id: tokens.session } as const;
    expect(await at('helpdesk').revoke(order)).toMatchObject({
      kind: 'refused',
      detail: expect.stringContaining('sessions:revoke'),
    });
    expect(await at('console', 'another').revoke(order)).toEqual({
      kind: 'refused',
      status: 401,
      detail: 'the client console got no token for sessions:revoke: client authentication failed',
    });
    expect(await at('console').revoke({ kind: 'session' })).toMatchObject({ kind: 'refused', status: 400 });
    const nowhere = at('console', gatewaySecret, `http://127.0.0.1:${await freePort()}`);
    expect(await nowhere.revoke(order)).toMatchObject({ kind: 'unreachable' });
    for (const url of ['http://id.example', 'ftp://127.0.0.1', 'id.example', 'https://a:b@id.example'])
      expect(() => at('console', gatewaySecret, url)).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
    const answer = { log: 'curfew', seq: expect.any(Number), published: true, sessionsEnded: 1 };
    expect(await at('console').revoke(order)).toEqual({ kind: 'done', answer });
    await expect(refresh(identity, tokens)).rejects.toEqual(invalidGrant);
    expect(await at('console').issuer()).toEqual({ kind: 'done', answer: identity.issuer });
  });

  it('is called with the token that the command line was given, and no other', async () => {
    const url = identity.issuer;
    const by = (token: string) =>
      createAdminClient({ url, credentials: { kind: 'token', token: secretFromText(token) } });
    expect(await by(helpdesk).call('listSessions', { user: 'vera' })).toMatchObject({ kind: 'done' });
    expect(await by(helpdesk).call('listAudit')).toEqual({
      kind: 'refused',
      status: 403,
      detail: 'the token needs the scope audit:read',
    });
    expect(await by('eyJ.none.at-all').call('listKeys')).toMatchObject({ kind: 'refused', status: 401 });
  });

  it('refuses redirects, so that neither secret nor token reaches another host', async () => {
    let visits = 0;
    const other = createServer((_, response) => {
      visits += 1;
      response.end('{}');
    });
    const ports = [await freePort(), await freePort()];
    const astray = createServer((_, response) =>
      response.writeHead(307, { location: `http://127.0.0.1:${ports[1]}/` }).end(),
    );
    astray.listen(ports[0], '127.0.0.1');
    other.listen(ports[1], '127.0.0.1');
    onTestFinished(() => {
      astray.close();
      other.close();
    });
    const url = `http://127.0.0.1:${ports[0]}`;
    const clientSecret = secretFromText(gatewaySecret);
    for (const credentials of [
      { kind: 'token', token: secretFromText('t') },
      { kind: 'client', clientId: 'console', clientSecret },
    ] as const)
      expect(await createAdminClient({ url, credentials }).call('listKeys')).toMatchObject({
        kind: 'unreachable',
      });
    expect(visits).toBe(0);
  });

  it('fails when it does not answer in time, or with too long a response', async () => {
    const never: typeof fetch = (_, init) =>
      new Promise((_resolve, reject) => {
        const { signal } = init ?? {};
        signal?.addEventListener('abort', () => reject(signal.reason as Error));
      });
    const credentials = { kind: 'token', token: secretFromText('t') } as const;
    const url = 'https://id.example';
    const slow = createAdminClient({ url, credentials, timeoutMs: 10, fetch: never });
    expect(await slow.call('listKeys')).toMatchObject({ kind: 'unreachable' });
    const endless: typeof fetch = () =>
      Promise.resolve(new Response(`{"keys":[],"padding":"${'x'.repeat(2 * 1024 * 1024)}"}`));
    const long = createAdminClient({ url, credentials, fetch: endless });
    expect(await long.call('listKeys')).toMatchObject({ kind: 'refused', status: 200 });
  });

  it('filters the audit log by user and time', async () => {
    await identity.addUser('joan');
    const tokens = await login(identity, 'joan');
    await revoke({ kind: 'session', id: tokens.session });
    const subject = String(payloadOf(tokens.access)['sub']);
    const found = async (query: string): Promise<unknown> =>
      ((await call('GET', `/v1/audit?${query}`)).body['entries'] as { action: string; target: string }[]).map(
        ({ action, target }) => [action, target],
      );
    const both = [
      ['revoke.session', tokens.session],
      ['user.add', subject],
    ];
    expect(await found('user=joan')).toEqual(both);
    expect(await found('user=joan&since=2026-01-01T00:00:00Z')).toEqual(both);
    expect(await found('user=joan&since=2099-01-01T00:00:00Z')).toEqual([]);
    expect(await found('user=joan&client=cli')).toEqual(both.slice(0, 1));
    expect(await found('user=nobody')).toEqual([]);
    expect((await call('GET', '/v1/audit?since=yesterday')).status).toBe(400);
  });

  it('records who did what, from which address', async () => {
    await revoke({ kind: 'token', id: 'some-jti', reason: 'test' });
    const { body } = await call('GET', '/v1/audit?limit=1');
    expect(body).toMatchObject({
      entries: [
        {
          actor: { kind: 'client', id: 'console', address: '127.0.0.1' },
          action: 'revoke.token',
          target: 'some-jti',
          details: { reason: 'test', sessions: 0 },
        },
      ],
      next: expect.any(Number),
    });
    const older = await call('GET', `/v1/audit?before=${String(body['next'])}&limit=200`);
    const actions = (older.body['entries'] as { action: string }[]).map(({ action }) => action);
    expect(actions).toContain('user.add');
    expect(actions).not.toContain('revoke.token');
  });

  it('requires a token of an allowed client with the scope', async () => {
    const none = await call('GET', '/v1/sessions', { token: '' });
    expect(none.status).toBe(401);
    expect(none.headers.get('www-authenticate')).toBe('Bearer realm="urn:curfew:admin"');
    expect(none.headers.get('content-type')).toBe('application/problem+json');
    const person = await login(identity, 'vera');
    expect((await call('GET', '/v1/sessions', { token: person.access })).status).toBe(401);
    const service = await identity.relyingParty('gateway', client.ClientSecretBasic(gatewaySecret));
    const { access_token: other } = await client.clientCredentialsGrant(service, {
      resource: 'orders',
      scope: 'read',
    });
    expect((await call('GET', '/v1/sessions', { token: other })).status).toBe(401);
    expect((await call('GET', '/v1/sessions', { token: helpdesk })).status).toBe(200);
    expect((await call('GET', '/v1/audit', { token: helpdesk })).status).toBe(403);
    const denied = await revoke({ kind: 'session', id: person.session }, helpdesk);
    expect(denied).toMatchObject({ status: 403, body: { title: 'Not allowed', status: 403 } });
    const revoker = await tokenOf('console', 'sessions:revoke');
    expect((await revoke({ kind: 'everything' }, revoker)).status).toBe(403);
    expect((await revoke({ kind: 'key', id: 'k' }, revoker)).status).toBe(403);
    expect((await refresh(identity, person)).session).toBe(person.session);
  });

  it('issues such a token to no other client, no user, and with no other scope', async () => {
    const gateway = await identity.relyingParty('gateway', client.ClientSecretBasic(gatewaySecret));
    await expect(
      client.clientCredentialsGrant(gateway, { resource: adminAudience, scope: 'audit:read' }),
    ).rejects.toMatchObject({ error: 'invalid_target' });
    await expect(login(identity, 'vera', { resource: adminAudience })).rejects.toMatchObject({
      error: 'invalid_target',
    });
    const token = await tokenOf('helpdesk', 'sessions:read sessions:revoke');
    expect(payloadOf(token)).toMatchObject({ aud: adminAudience, scope: 'sessions:read' });
  });

  it.each([
    ['no id', { kind: 'session' }],
    ['an id for everything', { kind: 'everything', id: 'x' }],
    ['an unknown kind', { kind: 'issuer', id: 'x' }],
    ['an unknown member', { kind: 'session', id: 'x', force: true }],
    ['a time for a session', { kind: 'session', id: 'x', issuedBefore: '2026-01-01T00:00:00Z' }],
    ['a time in the future', { kind: 'client', id: 'x', issuedBefore: '2099-01-01T00:00:00Z' }],
    ['a reason in prose', { kind: 'session', id: 'x', reason: 'Because!' }],
    ['what is no object', []],
  ])('refuses a revocation with %s', async (_, body) => {
    const answer = await revoke(body);
    expect(answer).toMatchObject({ status: 400, body: { title: 'Bad request', detail: expect.any(String) } });
  });

  it('refuses unknown requests and bodies that are too long', async () => {
    expect((await call('GET', '/v1/secrets')).status).toBe(404);
    expect((await call('GET', '/v1/revocations')).status).toBe(405);
    expect((await call('GET', '/v1/sessions?limit=1000')).status).toBe(400);
    expect((await call('GET', '/v1/sessions?sort=up')).status).toBe(400);
    expect((await revoke({ kind: 'session', id: 'x'.repeat(20_000) })).status).toBe(413);
  });

  it('accepts no token signed with the secret that services share', async () => {
    const [file, key] = [join(temporaryDirectory(), 'secret'), randomBytes(32)];
    writeFileSync(file, key.toString('base64url'));
    const shared = await start({ tokens: { algorithm: 'HS256', secret: { file, kid: 'shared' } } });
    const list = async (token: string): Promise<number> => {
      const headers = { authorization: `Bearer ${token}` };
      return (await fetch(`${shared.issuer}/admin/v1/keys`, { headers })).status;
    };
    const party = await shared.relyingParty('console', client.ClientSecretBasic(gatewaySecret));
    const parameters = { resource: adminAudience, scope: 'keys:read' };
    const { access_token: own } = await client.clientCredentialsGrant(party, parameters);
    expect(headerOf(own)['alg']).toBe('RS256');
    expect(await list(own)).toBe(200);
    const forged = await new SignJWT(payloadOf(own))
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: 'shared' })
      .sign(key);
    expect(await list(forged)).toBe(401);
    await shared.stop();
  });

  it('does not exist when no client may use it', async () => {
    const clients = [
      { client_id: 'cli', token_endpoint_auth_method: 'none', grant_types: ['refresh_token'] },
    ];
    const other = await start({ clients });
    const answer = await fetch(`${other.issuer}/admin/openapi.json`);
    expect(answer.status).toBe(404);
    await other.stop();
  });
});
