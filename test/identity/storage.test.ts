import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase, migrate } from '../../src/publisher/store/database.ts';
import { outboxMigrations } from '../../src/publisher/outbox.ts';
import { identityMigrations } from '../../src/identity/store/migrations.ts';
import { purgeExpired } from '../../src/identity/store/purge.ts';
import { hashOf } from '../../src/identity/store/sealing.ts';
import { temporaryDirectory } from '../temporary.ts';
import {
  authorization,
  exchange,
  logInBrowser,
  login,
  openLoginPage,
  refresh,
  submitLogin,
} from './flows.ts';
import { openBrowser } from './browser.ts';
import { password, startIdentity, type TestIdentity } from './identity-server.ts';

const sqliteOf = ({ config }: TestIdentity): string => {
  if (!('sqlite' in config.database)) throw new Error('not SQLite');
  return config.database.sqlite;
};

describe('what is stored', () => {
  let identity: TestIdentity;
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'curfew-storage-'));
    const sqlite = join(directory, 'identity.db');
    identity = await startIdentity({ database: { sqlite } }, { directory });
    await identity.addUser('hedy');
  });
  afterAll(async () => {
    await identity.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('holds no token, code, cookie, password or client secret that opens anything', async () => {
    const tokens = await login(identity, 'hedy');
    const next = await refresh(identity, tokens);
    const browser = openBrowser();
    const begun = await authorization(identity);
    const page = await openLoginPage(identity, browser, begun.url);
    const pending = page.url.split('/').at(-1) ?? '';
    const left = await submitLogin(identity, browser, page, 'hedy');
    const code = new URL(left.location ?? '').searchParams.get('code') ?? '';
    const web = await exchange(begun, left);
    const unfinished = await openLoginPage(identity, openBrowser(), (await authorization(identity)).url);
    const secrets = [
      ...[tokens, next, web].flatMap((one) => [one.access, one.refresh, one.refresh.split('.')[0] ?? '']),
      web.id ?? '',
      code,
      pending,
      unfinished.url.split('/').at(-1) ?? '',
      ...browser.cookies().map(({ value }) => value),
      password,
      'a-secret-of-a-service',
      begun.verifier,
      begun.state,
    ];
    const bytes = identity.databaseBytes();
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(15);
      expect(bytes.includes(secret)).toBe(false);
    }
    // The search works: what is no secret is found.
    expect(bytes.includes(tokens.session)).toBe(true);
    expect(bytes.includes(hashOf('RefreshToken', next.refresh))).toBe(true);
  });

  it('is logged in no part, at level debug', async () => {
    const tokens = await login(identity, 'hedy');
    const { tokens: web, browser } = await logInBrowser(identity, 'hedy');
    await login(identity, 'hedy', { password: 'wrong-and-secret' }).catch(() => undefined);
    await refresh(identity, { ...tokens, refresh: 'made-up-refresh-token' }).catch(() => undefined);
    const logged = identity.logged();
    expect(logged).toContain('request refused');
    const secrets = [
      ...[tokens, web].flatMap((one) => [one.access, one.refresh, one.session]),
      ...browser.cookies().map(({ value }) => value),
      password,
      'wrong-and-secret',
      'made-up-refresh-token',
    ];
    for (const secret of secrets) expect(logged).not.toContain(secret);
  });

  it('is readable by its owner only', () => {
    for (const suffix of ['', '-wal'])
      expect(statSync(`${sqliteOf(identity)}${suffix}`).mode & 0o777).toBe(0o600);
  });

  it('loses every token with its grant, whoever deletes the grant', async () => {
    const tokens = await login(identity, 'hedy');
    const raw = new DatabaseSync(sqliteOf(identity));
    raw.prepare('delete from identity_grants where id = ?').run(tokens.session);
    const { left } = raw
      .prepare('select count(*) as left from identity_tokens where grant_id = ?')
      .get(tokens.session) as { left: number };
    raw.close();
    expect(left).toBe(0);
    await expect(refresh(identity, tokens)).rejects.toMatchObject({ error: 'invalid_grant' });
  });

  it('keeps an account as long as it has grants, so that none ends without a revocation', async () => {
    await login(identity, 'hedy');
    const raw = new DatabaseSync(sqliteOf(identity));
    expect(() => raw.exec('delete from identity_accounts')).toThrow(/FOREIGN KEY/);
    raw.close();
  });

  it('remembers a login’s device and address, and when it was used', async () => {
    const browser = openBrowser('Mozilla/5.0 (X11; Linux)\t');
    const { tokens } = await logInBrowser(identity, 'hedy', { browser });
    const raw = new DatabaseSync(sqliteOf(identity));
    const row = raw.prepare('select * from identity_grants where id = ?').get(tokens.session);
    raw.close();
    expect(row).toMatchObject({ device: 'Mozilla/5.0 (X11; Linux)', address: '127.0.0.1', client_id: 'web' });
    expect(Number(row?.['last_used_at_ms'])).toBeGreaterThanOrEqual(Number(row?.['created_at_ms']));
  });

  it('is purged of what has expired, and of used tokens after an hour', async () => {
    const tokens = await login(identity, 'hedy');
    const next = await refresh(identity, tokens);
    const database = openDatabase({ sqlite: sqliteOf(identity) });
    const hourMs = 60 * 60 * 1000;
    await purgeExpired(database, Date.now() + hourMs + 1000);
    const raw = new DatabaseSync(sqliteOf(identity));
    const find = raw.prepare('select kind from identity_tokens where id_hash = ?');
    expect(find.get(hashOf('RefreshToken', tokens.refresh))).toBeUndefined();
    expect(find.get(hashOf('RefreshToken', next.refresh))).toBeDefined();
    expect((await refresh(identity, next)).session).toBe(tokens.session);
    // Its row is gone, and it is known all the same.
    await expect(refresh(identity, tokens)).rejects.toMatchObject({ error: 'invalid_grant' });
    expect(find.get(hashOf('RefreshToken', next.refresh))).toBeUndefined();
    await purgeExpired(database, Date.now() + 15 * 24 * hourMs);
    for (const table of ['grants', 'tokens', 'sessions'])
      expect(raw.prepare(`select count(*) as rows from identity_${table}`).get()).toEqual({ rows: 0 });
    raw.close();
    await database.close();
  });
});

describe('migrations', () => {
  it('run from several processes at once leave one schema', async () => {
    const sqlite = `${temporaryDirectory()}/identity.db`;
    const databases = Array.from({ length: 4 }, () => openDatabase({ sqlite }));
    await Promise.all(databases.map((one) => migrate(one, [identityMigrations, outboxMigrations])));
    await Promise.all(databases.map((one) => one.close()));
    const raw = new DatabaseSync(sqlite);
    expect(raw.prepare('select count(*) as done from kysely_migration').get()).toEqual({
      done: Object.keys({ ...identityMigrations, ...outboxMigrations }).length,
    });
    raw.close();
  });

  it('that fail leave nothing behind, and say which database it is', async () => {
    const sqlite = `${temporaryDirectory()}/identity.db`;
    const database = openDatabase({ sqlite });
    const broken = {
      'zz-0001': {
        up: async () => {
          await Promise.resolve();
          throw new Error('no room');
        },
      },
    };
    await expect(migrate(database, [identityMigrations, broken])).rejects.toMatchObject({
      code: 'ERR_DATABASE',
      message: `cannot prepare the database ${sqlite}: no room`,
    });
    await database.close();
    const raw = new DatabaseSync(sqlite);
    expect(raw.prepare("select name from sqlite_master where name like 'identity_%'").all()).toEqual([]);
    raw.close();
  });
});
