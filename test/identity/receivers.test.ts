import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as v from 'valibot';
import { parse, stringify } from 'yaml';
import { identitySchema } from '../../src/config/identity.ts';
import { operations } from '../../src/identity/admin/operations.ts';
import { routes } from '../../src/identity/endpoint/request-contexts.ts';
import { listAudit } from '../../src/identity/operator/session-commands.ts';
import { accountPath } from '../../src/identity/interaction/account-client.ts';
import { loadConfig } from '../../src/runtime/config.ts';
import { curfew } from '../command/curfew.ts';
import { eventually, freePort, repository, startCurfew, tail, type RunningProgram } from '../processes.ts';
import { startRedis } from '../redis/redis-server.ts';
import { logoutPost, setPost, webhookPost } from '../relay/deliveries.ts';
import { temporaryDirectory } from '../temporary.ts';
import { testIssuer } from '../token/tokens.ts';
import { onEachDatabase, type DatabaseInput, type OnDatabase } from './databases.ts';
import { login, refresh } from './flows.ts';
import { breakOutbox, deliver, foreignSettings, listenedUntil, recorded } from './foreign-issuer.ts';
import { clients, type Overrides, type TestIdentity } from './identity-server.ts';

type Started = { identity: TestIdentity; database: DatabaseInput };

/** Identity that has listened for the other issuer until now, or until so long ago. */
async function startReceiving(
  { start, create }: OnDatabase,
  { agoMs = 0, redelivery = '1h', ...overrides }: Overrides & { agoMs?: number; redelivery?: string } = {},
): Promise<Started> {
  const directory = temporaryDirectory();
  const database = await create(directory);
  if (agoMs < Infinity) await listenedUntil(database, agoMs);
  const identity = await start({ ...foreignSettings(directory, redelivery), database, ...overrides });
  onTestFinished(() => identity.stop());
  return { identity, database };
}

onEachDatabase('identity with receivers for another issuer', (on) => {
  it('revokes sessions of that issuer by every kind of event, and none of its own', async () => {
    const { identity, database } = await startReceiving(on);
    await identity.addUser('ada');
    const own = await login(identity, 'ada');

    // The other issuer's ids may well equal identity's own.
    const posts = [
      webhookPost({ kind: 'session', id: own.session }),
      logoutPost('session-2'),
      setPost('ada'),
    ];
    const answers = [];
    for (const post of posts) answers.push((await deliver(identity.issuer, post)).status);
    expect(answers).toEqual([204, 200, 202]);
    expect(await recorded(database)).toMatchObject([
      { iss: testIssuer, kind: 'session', target: own.session },
      { iss: testIssuer, kind: 'session', target: 'session-2' },
      { iss: testIssuer, kind: 'subject', target: 'ada' },
    ]);

    for (const post of posts) expect((await deliver(identity.issuer, post)).status).toBeLessThan(300);
    expect(await recorded(database)).toHaveLength(3);
    expect((await refresh(identity, own)).session).toBe(own.session);
  });

  it('accepts logout tokens without exp if the receiver says that exp is optional', async () => {
    const settings = foreignSettings(temporaryDirectory());
    const receivers = settings.receivers.map((one) =>
      one.kind === 'backchannel-logout' ? Object.assign({}, one, { exp: 'optional' }) : one,
    );
    const { identity, database } = await startReceiving(on, { receivers });
    const post = logoutPost('session-3', { exp: undefined });
    for (let times = 0; times < 2; times += 1)
      expect((await deliver(identity.issuer, post)).status).toBe(200);
    expect(await recorded(database)).toMatchObject([{ kind: 'session', target: 'session-3' }]);
  });

  it('refuses events about its own sessions, even with a valid signature', async () => {
    const { identity, database } = await startReceiving(on);
    await identity.addUser('ada');
    const own = await login(identity, 'ada');
    const { issuer } = identity;
    const posts = [
      webhookPost({ iss: issuer, kind: 'session', id: own.session }),
      logoutPost(own.session, { iss: issuer }),
      setPost('ada', { iss: issuer }),
      setPost('ada', { sub_id: { format: 'iss_sub', iss: issuer, sub: 'ada' } }),
    ];
    for (const post of posts) expect((await deliver(issuer, post)).status).toBe(400);
    expect(await recorded(database)).toEqual([]);
    expect((await refresh(identity, own)).session).toBe(own.session);
  });

  it('acknowledges nothing before it is committed', async () => {
    const { identity, database } = await startReceiving(on);
    const posts = [webhookPost({ kind: 'session', id: 'one' }), logoutPost('two'), setPost('three')];
    const mend = await breakOutbox(database);
    for (const post of posts)
      expect(await deliver(identity.issuer, post)).toEqual({ status: 503, retryAfter: '5' });
    expect(await recorded(database)).toEqual([]);
    await mend();
    for (const post of posts) expect((await deliver(identity.issuer, post)).status).toBeLessThan(300);
    expect((await recorded(database)).map(({ target }) => target)).toEqual(['one', 'two', 'three']);
  });

  it("revokes that issuer's tokens, and only those, after a downtime longer than the sender retries", async () => {
    const { database } = await startReceiving(on, { agoMs: 3_601_000 });
    expect(await recorded(database)).toMatchObject([{ iss: testIssuer, kind: 'issuer', reason: 'absence' }]);
  });

  it('revokes nothing after a shorter downtime', async () => {
    const { database } = await startReceiving(on, { agoMs: 3_500_000 });
    expect(await recorded(database)).toEqual([]);
  });

  it('has the cut-off of a downtime in the first complete log, next to its own issuer', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const { identity } = await startReceiving(on, { agoMs: Infinity, redis: { url: redis.url } });
    const epoch = await eventually('a log', async () => {
      const reply = await redis.command('HGET', '{curfew}:head', 'epoch');
      return /\r\n(?<epoch>\d+)\r\n/.exec(reply)?.groups?.['epoch'];
    });
    const head = await redis.command('HGETALL', '{curfew}:head');
    expect(head).toContain(testIssuer);
    expect(head).toContain(identity.issuer);
    const log = await redis.command('ZRANGE', `{curfew}:log:${epoch}`, '0', '-1');
    expect(log).toContain('"reason":"absence"');
    expect(log).toContain(testIssuer);
    expect(log).not.toContain(identity.issuer);
  });

  it("serves its own users while the other issuer's keys are unavailable, and makes the sender retry", async () => {
    const jwks = { uri: 'http://127.0.0.1:9/jwks', timeout: '100ms' };
    const { identity, database } = await startReceiving(on, {
      foreignIssuers: [{ issuer: testIssuer, jwks }],
    });
    await identity.addUser('ada');
    const own = await login(identity, 'ada');
    expect((await deliver(identity.issuer, logoutPost('one'))).status).toBe(503);
    expect((await deliver(identity.issuer, webhookPost({ kind: 'session', id: 'two' }))).status).toBe(204);
    const answer = await fetch(`${identity.admin}/readyz`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({
      parts: { receivers: [{ usable: false }, { usable: false }, { usable: true }] },
    });
    expect((await refresh(identity, own)).session).toBe(own.session);
    expect(await recorded(database)).toMatchObject([{ iss: testIssuer, target: 'two' }]);
  });

  it('accepts authentic events next to slow bodies and forged events from the same address', async () => {
    const { identity } = await startReceiving(on);
    const [path, body, headers] = webhookPost({ kind: 'session', id: 'forged' });
    const forged = { ...headers, 'webhook-signature': `v1,${Buffer.alloc(32, 9).toString('base64')}` };
    const sockets = Array.from({ length: 600 }, () => {
      const socket = connect(Number(new URL(identity.issuer).port), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(`POST ${path} HTTP/1.1\r\nhost: id\r\ncontent-type: application/json\r\n`);
      socket.write('content-length: 99\r\n\r\n{');
      return socket;
    });
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
    });
    for (let sent = 0; sent < 120; sent += 1)
      expect((await deliver(identity.issuer, [path, body, forged])).status).toBe(400);
    expect((await deliver(identity.issuer, webhookPost({ kind: 'session', id: 'one' }))).status).toBe(204);
    expect((await deliver(identity.issuer, logoutPost('two'))).status).toBe(200);
    expect(await identity.metric('curfew_notices_missed_total{cause="unread"}')).toBe(0);
  });

  it('shows its receivers and counts their deliveries', async () => {
    const { identity } = await startReceiving(on);
    const answer = (await (await fetch(`${identity.admin}/readyz`)).json()) as { parts: unknown };
    expect(answer.parts).toMatchObject({
      receivers: [
        { kind: 'set-push', path: '/events', issuers: [testIssuer], usable: true },
        { kind: 'backchannel-logout', path: '/logout', usable: true },
        { kind: 'webhook', path: '/webhook', usable: true },
      ],
    });
    await deliver(identity.issuer, logoutPost('one'));
    const metric = 'curfew_received_events_total{source="backchannel-logout",result="accepted"}';
    expect(await identity.metric(metric)).toBe(1);
    expect((await fetch(`${identity.issuer}/logout`)).status).toBe(405);
    expect((await fetch(`${identity.issuer}/logout/`)).status).toBe(404);
  });
});

onEachDatabase('the identity program with receivers', ({ create }) => {
  it(
    'has what it acknowledged when it is killed, and takes again what it did not',
    { timeout: 60_000 },
    async () => {
      const directory = temporaryDirectory();
      const database = await create(directory);
      await listenedUntil(database);
      const { file, url } = await configured(directory, database);
      const posts = new Map(
        Array.from(
          { length: 60 },
          (_, index) => [`session-${index}`, logoutPost(`session-${index}`)] as const,
        ),
      );
      const program = await startProgram(file, url);
      const acknowledged: string[] = [];
      const sending = [...posts].map(async ([session, post]) => {
        const answer = await deliver(url, post).catch(() => undefined);
        if (answer?.status === 200) acknowledged.push(session);
      });
      await eventually('some are acknowledged', () => (acknowledged.length > 5 ? true : undefined));
      await program.stop('SIGKILL');
      await Promise.all(sending);
      const after = new Set((await recorded(database)).map(({ target }) => target));
      expect(acknowledged.filter((session) => !after.has(session))).toEqual([]);

      const again = await startProgram(file, url);
      for (const post of posts.values()) expect((await deliver(url, post)).status).toBe(200);
      const targets = (await recorded(database)).map(({ target }) => target);
      expect(targets.toSorted()).toEqual([...posts.keys()].toSorted());
      expect(await again.stop('SIGTERM')).toBe(0);
    },
  );

  it('accepts command-line revocations for either issuer, which must name it', async () => {
    const directory = temporaryDirectory();
    const database = await create(directory);
    await listenedUntil(database);
    const { file, url } = await configured(directory, database);
    const revoke = (...more: string[]) => curfew(['revoke', 'session', 'same-id', '--config', file, ...more]);
    expect(await revoke()).toMatchObject({ exitCode: 2 });
    for (const issuer of [testIssuer, url]) await revoke('--issuer', issuer);
    expect(await recorded(database)).toMatchObject([
      { iss: testIssuer, kind: 'session', target: 'same-id', reason: 'operator' },
      { iss: url, kind: 'session', target: 'same-id', reason: 'operator' },
    ]);
    const config = loadConfig({ schema: identitySchema, file, environment: {} });
    expect(await listAudit(config, 10)).toMatchObject([
      { action: 'revoke.session', target: 'same-id', details: { reason: 'operator' } },
      { action: 'revoke.session', target: 'same-id', details: { reason: 'operator', issuer: testIssuer } },
    ]);
  });
});

async function configured(
  directory: string,
  database: DatabaseInput,
): Promise<{ file: string; url: string }> {
  const [port, admin, dead] = [await freePort(), await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const file = join(directory, 'identity.yaml');
  const settings = {
    issuer: url,
    listen: `127.0.0.1:${port}`,
    admin: `127.0.0.1:${admin}`,
    database,
    redis: { url: `redis://127.0.0.1:${dead}` },
    clients,
    resources: { orders: { scopes: ['read'] } },
    ...foreignSettings(directory),
  };
  writeFileSync(file, stringify(settings));
  return { file, url };
}

async function startProgram(file: string, url: string): Promise<RunningProgram> {
  const program = startCurfew('identity', ['identity', '--config', file]);
  onTestFinished(async () => void (await program.stop('SIGKILL')));
  await eventually(`identity answers: ${tail(program.printed())}`, () =>
    fetch(`${url}/jwks`).then(
      ({ ok }) => (ok ? true : undefined),
      () => undefined,
    ),
  );
  return program;
}

describe('the configuration of identity’s receivers', () => {
  const issuer = 'https://id.example';

  function problemsOf(overrides: Record<string, unknown>): string[] {
    const directory = temporaryDirectory();
    const file = join(directory, 'identity.yaml');
    const settings = {
      issuer,
      redis: { url: 'redis://127.0.0.1:6379' },
      clients,
      resources: { orders: {} },
      ...foreignSettings(directory),
      ...overrides,
    };
    writeFileSync(file, stringify(settings));
    try {
      loadConfig({ schema: identitySchema, file, environment: {} });
      return [];
    } catch (thrown) {
      const { problems } = thrown as { problems: { path: string; message: string }[] };
      return problems.map(({ path, message }) => `${path}: ${message}`);
    }
  }

  const logout = (path: string, name = testIssuer) => ({
    kind: 'backchannel-logout',
    path,
    issuer: name,
    audience: 'web',
  });

  it('is valid as documented', () => {
    expect(problemsOf({})).toEqual([]);
    const page = readFileSync(join(repository, 'docs', 'identity.md'), 'utf8');
    const blocks = [...page.matchAll(/```yaml identity\n(.*?)```/gs)].map(([, block = '']) => block);
    expect(blocks.length).toBeGreaterThan(0);
    for (const block of blocks) expect(v.safeParse(identitySchema, parse(block)).issues).toBeUndefined();
  });

  const ownPaths = [
    ...Object.values(routes),
    ...Object.values(operations).map(({ path }) => path.replaceAll(/[{}]/g, '')),
    accountPath,
    `${accountPath}/logout`,
    '/interaction/0123456789abcdefg',
    '/.well-known/openid-configuration',
    '/',
    '/TOKEN',
    '/token/',
  ];
  it.each(ownPaths)('refuses a receiver at %s, which is identity’s own', (path) => {
    const message = 'receivers[0].path: is reserved for identity’s own pages and endpoints';
    expect(problemsOf({ receivers: [logout(path)] })).toEqual([message]);
    expect(problemsOf({ issuer: `${issuer}/id`, receivers: [logout(`/id${path}`)] })).toEqual([message]);
  });

  it('accepts a path next to an issuer that is not at the root of its host', () => {
    expect(problemsOf({ issuer: `${issuer}/id`, receivers: [logout('/token'), logout('/ident')] })).toEqual(
      [],
    );
  });

  it('refuses its own issuer in foreignIssuers', () => {
    expect(problemsOf({ foreignIssuers: [{ issuer }], receivers: [] })).toEqual([
      'foreignIssuers[0].issuer: is identity’s own issuer',
    ]);
  });

  it.each([issuer, 'https://unknown.example'])('refuses a receiver for %s', (name) => {
    expect(problemsOf({ receivers: [logout('/logout', name)] })).toEqual([
      "receivers[0].issuer: each receiver's issuer must be one of `foreignIssuers`, byte for byte",
    ]);
  });

  it('refuses a path twice', () => {
    expect(problemsOf({ receivers: [logout('/one'), logout('/one')] })).toEqual([
      'receivers[1].path: each path may appear once',
    ]);
  });
});
