import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as client from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditCommand } from '../../src/command/audit.ts';
import type { Command } from '../../src/command/command.ts';
import { keysCommand } from '../../src/command/keys.ts';
import { revokeCommand } from '../../src/command/revoke.ts';
import { userCommand } from '../../src/command/user.ts';
import { login, payloadOf, refresh } from '../identity/flows.ts';
import { clients, gatewaySecret, startIdentity, type TestIdentity } from '../identity/identity-server.ts';
import { neverPrinted } from '../output.ts';
import { freePort } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { curfew, type Outcome } from './curfew.ts';

const commands: Readonly<Record<string, Command>> = {
  audit: auditCommand,
  keys: keysCommand,
  revoke: revokeCommand,
  user: userCommand,
};

const invalidGrant = expect.objectContaining({ error: 'invalid_grant' });

describe('curfew over the administration API', () => {
  let redis: RedisServer;
  let identity: TestIdentity;
  const directory = mkdtempSync(join(tmpdir(), 'curfew-admin-'));
  const secretFile = join(directory, 'client-secret');
  const tokenFile = join(directory, 'token');
  const configFile = join(directory, 'identity.yaml');

  beforeAll(async () => {
    redis = await startRedis();
    identity = await startIdentity({ redis: { url: redis.url } }, { directory });
    writeFileSync(secretFile, `${gatewaySecret}\n`);
    await identity.addUser('hedy');
    // JSON is YAML: the same identity, for commands that are beside it.
    const { issuer } = identity;
    const database = { sqlite: join(directory, 'identity.db') };
    const resources = { orders: {} };
    writeFileSync(
      configFile,
      JSON.stringify({ issuer, database, redis: { url: redis.url }, clients, resources }),
    );
  });
  afterAll(async () => {
    await identity.stop();
    await redis.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const as = (clientId: string, ...args: string[]): Promise<Outcome> =>
    curfew([
      ...args,
      '--admin',
      identity.issuer,
      '--client-id',
      clientId,
      '--client-secret-file',
      secretFile,
    ]);

  async function tokenOf(clientId: string, scope: string): Promise<string> {
    const party = await identity.relyingParty(clientId, client.ClientSecretBasic(gatewaySecret));
    const parameters = { resource: 'urn:curfew:admin', scope };
    const { access_token: token } = await client.clientCredentialsGrant(party, parameters);
    neverPrinted(token);
    return token;
  }

  it('lists and ends sessions, and is named in the audit log', async () => {
    const [laptop, phone] = [await login(identity, 'hedy'), await login(identity, 'hedy')];
    const listed = await as('console', 'user', 'sessions', 'hedy', '--json');
    expect((JSON.parse(listed.printed) as { id: string; client: string }[]).map(({ id }) => id)).toEqual([
      phone.session,
      laptop.session,
    ]);
    const one = await as('console', 'revoke', 'session', laptop.session, '--reason', 'lost');
    expect([one.exitCode, one.warned]).toEqual([0, '']);
    expect(one.printed).toMatch(/^session \S{8}… revoked, seq \d+, log curfew, 1 ended here\n$/);
    await expect(refresh(identity, laptop)).rejects.toEqual(invalidGrant);
    const subject = String(payloadOf(phone.access)['sub']);
    const all = await as('console', 'revoke', 'subject', 'hedy', '--issuer', identity.issuer, '--json');
    expect(JSON.parse(all.printed)).toMatchObject({ published: true, sessionsEnded: 1 });
    await expect(refresh(identity, phone)).rejects.toEqual(invalidGrant);

    const audit = await as('console', 'audit', '--user', 'hedy', '--json');
    const beside = await curfew(['audit', '--user', 'hedy', '--json', '--config', configFile]);
    expect(JSON.parse(audit.printed)).toEqual(JSON.parse(beside.printed));
    const actor = { kind: 'client', id: 'console', address: '127.0.0.1' };
    expect(JSON.parse(audit.printed)).toMatchObject([
      { action: 'revoke.subject', target: subject, actor },
      { action: 'revoke.session', target: laptop.session, actor, details: { reason: 'lost', subject } },
      { action: 'user.add', target: subject, actor: { kind: 'operator' } },
    ]);
    const lines = await curfew(['audit', '--limit', '1', '--config', configFile]);
    expect(lines.printed).toMatch(
      /^\S+Z {2}client console \(127\.0\.0\.1\) {2}revoke\.subject {2}\S+ {2}sessions=1 reason=operator.*\n$/,
    );
  }, 60_000);

  it('reports what the client may not do, and does nothing', async () => {
    const tokens = await login(identity, 'hedy');
    const refused = await as('helpdesk', 'revoke', 'session', tokens.session);
    expect([refused.exitCode, refused.printed]).toEqual([1, '']);
    expect(refused.warned).toContain('sessions:revoke');
    expect((await refresh(identity, tokens)).session).toBe(tokens.session);
    expect((await as('helpdesk', 'user', 'sessions', 'hedy')).printed).toContain(tokens.session);
  }, 60_000);

  it('reads a token from a file or the environment, and tells a token without the scope from an invalid one', async () => {
    const token = await tokenOf('helpdesk', 'sessions:read');
    writeFileSync(tokenFile, `${token}\n`);
    const by = ['--admin', identity.issuer, '--token-file', tokenFile];
    expect((await curfew(['user', 'sessions', 'hedy', ...by])).exitCode).toBe(0);
    const env = { CURFEW_ADMIN_TOKEN: token };
    expect((await curfew(['user', 'sessions', 'hedy', ...by.slice(0, 2)], { env })).exitCode).toBe(0);
    const refused = await curfew(['audit', ...by]);
    expect([refused.exitCode, refused.warned]).toEqual([
      1,
      'curfew: the administration API refused (403): the token needs the scope audit:read\n',
    ]);
    writeFileSync(tokenFile, 'a.bad.one\n');
    const bad = await curfew(['audit', ...by]);
    expect([bad.exitCode, bad.warned]).toEqual([
      1,
      'curfew: the administration API refused (401): A valid access token is required\n',
    ]);
  }, 60_000);

  it('lists, adds and revokes keys', async () => {
    const listed = await as('console', 'keys', 'list');
    expect(listed.printed).toMatch(/^\S+ {2}RS256 {2}signing {2}\S+Z {2}not encrypted\n$/);
    const added = JSON.parse((await as('console', 'keys', 'rotate', '--json')).printed) as { id: string };
    const revoked = await as('console', 'keys', 'revoke', added.id);
    expect(revoked.printed).toMatch(new RegExp(`^key ${added.id} revoked, seq \\d+, log curfew\n$`));
  }, 60_000);

  it('imports a key from a file into the database, but not over the API', async () => {
    const pem = join(directory, 'key.pem');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const text = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    neverPrinted(text.split('\n')[5] ?? '');
    writeFileSync(pem, text);
    const bring = ['keys', 'import', pem, '--kid', 'ours', '--config', configFile];
    expect((await curfew(bring)).printed).toMatch(/^key ours added; it starts to sign in ten minutes/);
    const again = await curfew(bring);
    expect([again.exitCode, again.warned]).toEqual([1, 'key ours exists already\n']);
    writeFileSync(pem, 'no key');
    expect((await curfew(bring)).warned).toContain('not a private key in PEM');
    const missing = await curfew(['keys', 'import', `${pem}-none`, '--config', configFile]);
    expect([missing.exitCode, missing.warned]).toEqual([1, expect.stringContaining('cannot read')]);
    const remote = await as('console', 'keys', 'import', pem);
    expect([remote.exitCode, remote.warned]).toEqual([2, expect.stringContaining('needs the database')]);
  }, 60_000);

  it('reports an API that is unreachable, and a server that is not the API', async () => {
    const port = await freePort();
    const by = ['--client-id', 'console', '--client-secret-file', secretFile];
    const nobody = await curfew(['audit', '--admin', `http://127.0.0.1:${port}`, ...by]);
    expect([nobody.exitCode, nobody.warned]).toEqual([
      1,
      expect.stringContaining('cannot reach the administration API'),
    ]);
    const elsewhere = await curfew(['audit', '--admin', identity.admin, ...by]);
    expect([elsewhere.exitCode, elsewhere.warned]).toEqual([1, expect.stringContaining('refused (405)')]);
  }, 60_000);

  it.each([
    [['revoke', 'session', 'x', '--admin', 'http://id.example', '--token-file', 'f'], 'is not https'],
    [['revoke', 'session', 'x', '--admin', 'https://id.example'], 'requires --token-file'],
    [['revoke', 'session', 'x', '--admin', 'https://id.example', '--client-id', 'c'], 'require each other'],
    [['audit', '--admin', 'https://id.example', '--config', 'f', '--token-file', 'f'], 'not both'],
    [['audit', '--config', 'f', '--token-file', 'f'], '--token-file requires --admin'],
    [['audit', '--config', 'f', '--limit', '0'], '--limit must be'],
    [['audit', '--config', 'f', '--since', '2999-01-01'], 'must be in the past'],
    [['user', 'disable', 'hedy', '--admin', 'https://id.example', '--token-file', 'f'], 'needs the database'],
    [['keys', 'list', '--kid', 'x', '--config', 'f'], '--kid is only for'],
  ])('refuses wrong usage: %j', async (args, message) => {
    const [name = '', ...rest] = args;
    const silent = { print: () => undefined, warn: () => undefined };
    const refusal = { code: 'ERR_USAGE', message: expect.stringContaining(message) };
    await expect(commands[name]?.run(rest, silent)).rejects.toMatchObject(refusal);
  });

  it('revokes everything of the issuer that was named, and of no other', async () => {
    const tokens = await login(identity, 'hedy');
    const other = await as('console', 'revoke', 'everything', '--yes', '--issuer', 'https://other.example');
    expect([other.exitCode, other.warned]).toEqual([2, expect.stringContaining('is not configured')]);
    expect((await refresh(identity, tokens)).session).toBe(tokens.session);
    const done = await as('console', 'revoke', 'everything', '--yes', '--issuer', identity.issuer);
    expect(done.printed).toMatch(/^everything of http:\/\/127\.0\.0\.1:\d+ revoked, seq \d+/);
  }, 60_000);
});
