import { readFileSync, readdirSync, rmSync, mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase, migrate } from '../../src/database/database.ts';
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
  type Tokens,
} from './flows.ts';
import { openBrowser } from './browser.ts';
import { contents, onEachDatabase, openTestDatabase, query } from './databases.ts';
import { password, serviceSecret, startIdentity, type TestIdentity } from './identity-server.ts';

onEachDatabase('what is stored', ({ start, create }) => {
  let identity: TestIdentity;
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'curfew-storage-'));
    identity = await start({ database: await create(directory) }, { directory });
    await identity.addUser('hedy');
  });
  afterAll(async () => {
    await identity.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** The tables as text; with SQLite also every byte of its files, deleted rows included. */
  const everything = async (): Promise<Buffer> => {
    const files = readdirSync(directory).map((name) => readFileSync(join(directory, name)));
    return Buffer.concat([Buffer.from(await contents(identity)), ...files]);
  };

  it('contains no usable token, code, cookie, password or client secret', async () => {
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
      serviceSecret,
      begun.verifier,
      begun.state,
    ];
    const bytes = await everything();
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(15);
      expect(bytes.includes(secret)).toBe(false);
    }
    // The search works: what is no secret is found.
    expect(bytes.includes(tokens.session)).toBe(true);
    expect(bytes.includes(hashOf('RefreshToken', next.refresh))).toBe(true);
  });

  it('is not logged, even at level debug', async () => {
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

  it('deletes every token with its grant, whoever deletes the grant', async () => {
    const tokens = await login(identity, 'hedy');
    await query(identity, sql`delete from identity_grants where id = ${tokens.session}`);
    const left = sql`select id_hash from identity_tokens where grant_id = ${tokens.session}`;
    expect(await query(identity, left)).toEqual([]);
    await expect(refresh(identity, tokens)).rejects.toMatchObject({ error: 'invalid_grant' });
  });

  it('keeps an account as long as it has grants, so that none ends without a revocation', async () => {
    await login(identity, 'hedy');
    await expect(query(identity, sql`delete from identity_accounts`)).rejects.toThrow(/FOREIGN KEY/i);
  });

  it("records a login's device and address, and when it was used", async () => {
    const browser = openBrowser('Mozilla/5.0 (X11; Linux)\t');
    const { tokens } = await logInBrowser(identity, 'hedy', { browser });
    const find = sql<GrantRow>`select * from identity_grants where id = ${tokens.session}`;
    const [row] = await query(identity, find);
    expect(row).toMatchObject({ device: 'Mozilla/5.0 (X11; Linux)', address: '127.0.0.1', client_id: 'web' });
    expect(row?.last_used_at_ms).toBeGreaterThanOrEqual(row?.created_at_ms ?? Infinity);
  });

  it('is purged of what has expired, and of used tokens after an hour', async () => {
    const tokens = await login(identity, 'hedy');
    const next = await refresh(identity, tokens);
    const database = openDatabase(identity.config.database);
    const hourMs = 60 * 60 * 1000;
    await purgeExpired(database, Date.now() + hourMs + 1000);
    const find = async ({ refresh: token }: Tokens): Promise<number> => {
      const hash = hashOf('RefreshToken', token);
      return (await query(identity, sql`select kind from identity_tokens where id_hash = ${hash}`)).length;
    };
    expect([await find(tokens), await find(next)]).toEqual([0, 1]);
    expect((await refresh(identity, next)).session).toBe(tokens.session);
    // Its row is gone, and it is known all the same.
    await expect(refresh(identity, tokens)).rejects.toMatchObject({ error: 'invalid_grant' });
    expect(await find(next)).toBe(0);
    await purgeExpired(database, Date.now() + 15 * 24 * hourMs);
    for (const table of ['grants', 'tokens', 'sessions'])
      expect(await query(identity, sql`select 1 as one from ${sql.table(`identity_${table}`)}`)).toEqual([]);
    await database.close();
  });
});

type GrantRow = { created_at_ms: number; last_used_at_ms: number };

describe('a SQLite file', () => {
  it('is readable by its owner only', async () => {
    const directory = temporaryDirectory();
    const identity = await startIdentity({}, { directory });
    for (const name of ['identity.db', 'identity.db-wal'])
      expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    await identity.stop();
  });
});

onEachDatabase('migrations', ({ create }) => {
  it('run by several processes at once create one schema', async () => {
    const input = await create(temporaryDirectory());
    const databases = Array.from({ length: 4 }, () => openTestDatabase(input));
    const all = [identityMigrations, outboxMigrations];
    await Promise.all(databases.map((one) => migrate(one, all)));
    const names = Object.keys(Object.assign({}, ...all)).toSorted();
    for (const { db } of databases) {
      const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(
        db,
      );
      expect(rows.map(({ name }) => name)).toEqual(names);
    }
    await Promise.all(databases.map((one) => one.close()));
  });

  it('that fail leave nothing behind and name the database', async () => {
    const database = openTestDatabase(await create(temporaryDirectory()));
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
      message: `cannot prepare the database ${database.description}: no room`,
    });
    const tables = await database.db.introspection.getTables();
    expect(tables.filter(({ name }) => name.startsWith('identity_'))).toEqual([]);
    await database.close();
  });
});
