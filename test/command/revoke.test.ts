import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { neverPrinted } from '../output.ts';
import { eventually, freePort, startCurfew } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { temporaryDirectory } from '../temporary.ts';
import { curfew, type Outcome } from './curfew.ts';

const password = 'the-password-of-these-tests';

type Deployment = { file: string; port: number; admin: number };

async function describeIdentity(redis: RedisServer): Promise<Deployment> {
  const directory = temporaryDirectory();
  const [port, admin] = [await freePort(), await freePort()];
  const file = join(directory, 'identity.yaml');
  const client =
    '{ client_id: cli, token_endpoint_auth_method: none, grant_types: ["urn:curfew:grant-type:login", refresh_token] }';
  writeFileSync(
    file,
    `issuer: http://localhost:${port}
listen: 127.0.0.1:${port}
admin: 127.0.0.1:${admin}
database: { sqlite: ${directory}/identity.db }
redis: { url: "${redis.url}" }
clients: [${client}]
resources: { orders: {} }
log: { level: debug }
`,
  );
  return { file, port, admin };
}

async function startIdentity({ file, admin }: Deployment): Promise<void> {
  const identity = startCurfew('identity', ['identity', '--config', file]);
  onTestFinished(async () => void (await identity.stop()));
  await eventually('identity is ready', async () => {
    const answer = await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined);
    return answer?.status === 200 ? true : undefined;
  });
}

async function logIn(port: number): Promise<{ session: string; refresh: string }> {
  const form = { grant_type: 'urn:curfew:grant-type:login', client_id: 'cli', username: 'alice', password };
  const response = await fetch(`http://localhost:${port}/token`, {
    method: 'POST',
    body: new URLSearchParams(form),
  });
  const { access_token: access = '', refresh_token: refresh = '' } = (await response.json()) as Record<
    string,
    string
  >;
  neverPrinted(access, refresh);
  const claims = JSON.parse(Buffer.from(access.split('.')[1] ?? '', 'base64url').toString()) as {
    grant_id: string;
  };
  return { session: claims.grant_id, refresh };
}

async function canRefresh(port: number, refresh: string): Promise<boolean> {
  const form = { grant_type: 'refresh_token', client_id: 'cli', refresh_token: refresh };
  const response = await fetch(`http://localhost:${port}/token`, {
    method: 'POST',
    body: new URLSearchParams(form),
  });
  await response.arrayBuffer();
  return response.ok;
}

describe('curfew revoke and curfew keys, beside a running identity', () => {
  let redis: RedisServer;

  beforeAll(async () => {
    neverPrinted(password);
    redis = await startRedis();
    return () => redis.stop();
  });

  it('end one session, all of a person, everything; and name the number in the log', async () => {
    const identity = await describeIdentity(redis);
    expect(
      (await curfew(['user', 'add', 'alice', '--config', identity.file], { input: password })).exitCode,
    ).toBe(0);
    await startIdentity(identity);
    const revoke = (...args: string[]): Promise<Outcome> =>
      curfew(['revoke', ...args, '--config', identity.file]);
    const { port } = identity;

    const laptop = await logIn(port);
    const phone = await logIn(port);
    const one = await revoke('session', laptop.session);
    expect([one.exitCode, one.warned]).toEqual([0, '']);
    expect(one.printed).toMatch(/^session \S{8}… revoked, seq \d+, log curfew, 1 ended here\n$/);
    expect(await canRefresh(port, laptop.refresh)).toBe(false);

    const all = await revoke('subject', 'alice', '--json');
    expect(JSON.parse(all.printed)).toMatchObject({ published: true, log: 'curfew', sessionsEnded: 1 });
    expect(await canRefresh(port, phone.refresh)).toBe(false);

    const tablet = await logIn(port);
    const everything = await revoke('everything', '--issuer', `http://localhost:${port}`, '--yes');
    expect(everything.printed).toMatch(/^everything of http:\/\/localhost:\d+ revoked, seq \d+/);
    expect(await canRefresh(port, tablet.refresh)).toBe(false);
  }, 60_000);

  it('list, rotate and revoke keys', async () => {
    const identity = await describeIdentity(redis);
    writeFileSync(identity.file, `revocation: { log: keys }\n`, { flag: 'a' });
    await startIdentity(identity);
    const keys = (...args: string[]): Promise<Outcome> =>
      curfew(['keys', ...args, '--config', identity.file]);
    const first = await keys('list');
    expect(first.printed).toMatch(/^\S+ {2}RS256 {2}signing {2}\S+Z {2}not encrypted\n$/);
    const [kid = ''] = first.printed.split(' ');
    expect((await keys('rotate')).printed).toMatch(/^key \S+ added/);
    expect((await keys('revoke', kid)).printed).toMatch(
      new RegExp(`^key ${kid} revoked, seq \\d+, log keys`),
    );
    const listed = JSON.parse((await keys('list', '--json')).printed) as { id: string }[];
    expect(listed.map(({ id }) => id)).not.toContain(kid);
  }, 60_000);

  it('record a revocation while nobody publishes, and say so', async () => {
    const identity = await describeIdentity(redis);
    const { exitCode, warned } = await curfew([
      'revoke',
      'token',
      'some-token-id',
      '--config',
      identity.file,
    ]);
    expect([exitCode, warned]).toEqual([
      1,
      expect.stringContaining('recorded, but not yet published') as string,
    ]);
  }, 30_000);

  it.each([
    [['revoke', 'everything'], '--issuer ISS and --yes'],
    [['revoke', 'session'], 'requires an id'],
    [['revoke', 'sessions', 'x'], 'expected one of session'],
    [['revoke', 'session', 'x', '--issued-before', '2020-01-01'], '--issued-before is only for'],
    [['revoke', 'subject', 'x', '--issued-before', '2999-01-01'], 'must be in the past'],
    [['revoke', 'subject', 'x', '--issuer', 'https://other.example'], 'is not configured'],
    [['keys', 'burn'], 'keys list'],
  ])('refuse wrong usage: %j', async (args, message) => {
    const { file } = await describeIdentity(redis);
    const { exitCode, warned } = await curfew([...args, '--config', file]);
    expect([exitCode, warned]).toEqual([2, expect.stringContaining(message) as string]);
  });
});
