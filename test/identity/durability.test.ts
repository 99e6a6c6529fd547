import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { addUser } from '../../src/identity/operator/account-commands.ts';
import { identitySchema, type IdentityConfig } from '../../src/config/identity.ts';
import { purgeExpired } from '../../src/identity/store/purge.ts';
import { openDatabase } from '../../src/database/database.ts';
import { loadConfig } from '../../src/runtime/config.ts';
import { neverPrinted } from '../output.ts';
import { eventually, freePort, startCurfew, tail, type RunningProgram } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { onEachDatabase, query } from './databases.ts';
import { loginGrantType, password } from './identity-server.ts';

const isSqlite = ({ database }: IdentityConfig): boolean => 'sqlite' in database;

/** From now on no token can be stored. */
const breakTokens = (config: IdentityConfig): Promise<unknown> =>
  query(
    { config },
    isSqlite(config)
      ? sql`create trigger broken before insert on identity_tokens begin select raise(abort, 'broken'); end`
      : sql`alter table identity_tokens add constraint broken check (false) not valid`,
  );

const mendTokens = (config: IdentityConfig): Promise<unknown> =>
  query(
    { config },
    isSqlite(config) ? sql`drop trigger broken` : sql`alter table identity_tokens drop constraint broken`,
  );

type Answer = { status: number; body: Record<string, string> };

onEachDatabase('an identity that is killed', ({ create }) => {
  let issuer: string;
  let configFile: string;
  let config: IdentityConfig;
  let program: RunningProgram;

  async function start(): Promise<void> {
    program = startCurfew('identity', ['identity', '--config', configFile]);
    await eventually(`identity answers: ${tail(program.printed())}`, () =>
      fetch(`${issuer}/jwks`).then(
        ({ ok }) => (ok ? true : undefined),
        () => undefined,
      ),
    );
  }

  async function post(path: string, fields: Record<string, string>): Promise<Answer> {
    const body = new URLSearchParams({ client_id: 'cli', ...fields });
    const answer = await fetch(`${issuer}${path}`, { method: 'POST', body });
    const text = await answer.text();
    return {
      status: answer.status,
      body: text === '' ? {} : (JSON.parse(text) as Record<string, string>),
    };
  }

  const login = async (): Promise<string> => {
    const { body } = await post('/token', { grant_type: loginGrantType, username: 'ada', password });
    const token = body['refresh_token'] ?? '';
    neverPrinted(token, body['access_token'] ?? '');
    return token;
  };
  const refresh = (token: string): Promise<Answer> =>
    post('/token', { grant_type: 'refresh_token', refresh_token: token });

  beforeEach(async () => {
    const directory = temporaryDirectory();
    const [port, admin, dead] = [await freePort(), await freePort(), await freePort()];
    issuer = `http://127.0.0.1:${port}`;
    const database = JSON.stringify(await create(directory));
    configFile = join(directory, 'identity.yaml');
    writeFileSync(
      configFile,
      `issuer: ${issuer}
listen: 127.0.0.1:${port}
admin: 127.0.0.1:${admin}
database: ${database}
redis: { url: redis://127.0.0.1:${dead} }
clients:
  - { client_id: cli, token_endpoint_auth_method: none, grant_types: ["${loginGrantType}", refresh_token] }
resources: { orders: { scopes: [read] } }
log: { level: debug }
`,
    );
    neverPrinted(password);
    config = loadConfig({ schema: identitySchema, file: configFile });
    await addUser(config, { username: 'ada', password });
    await start();
  });
  afterEach(async () => {
    await program.stop('SIGKILL');
  });

  it('keeps an acknowledged revocation', async () => {
    for (let round = 0; round < 2; round += 1) {
      const token = await login();
      expect((await post('/token/revocation', { token })).status).toBe(200);
      await program.stop('SIGKILL');
      const events = await query(
        { config },
        sql`select kind, target, published_seq from revocation_outbox order by id`,
      );
      expect(events).toHaveLength(round + 1);
      expect(events.at(-1)).toMatchObject({
        kind: 'session',
        target: token.split('.')[1],
        published_seq: null,
      });
      await start();
      expect(await refresh(token)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    }
  }, 60_000);

  it('leaves each session with one valid refresh token, at whatever point of a refresh it is killed', async () => {
    const families = await Promise.all(Array.from({ length: 8 }, login));
    let newest = families;
    const dying = (async () => {
      for (;;) {
        const answers = await Promise.all(newest.map(refresh));
        newest = answers.map(({ body }, index) => body['refresh_token'] ?? newest[index] ?? '');
      }
    })().catch(() => undefined);
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, 150);
    await promise;
    await program.stop('SIGKILL');
    await dying;
    neverPrinted(...newest);
    const unused = await query(
      { config },
      sql`select count(*) as tokens from identity_tokens
        where kind = 'RefreshToken' and consumed_at_ms is null group by grant_id`,
    );
    expect(unused).toEqual(families.map(() => ({ tokens: 1 })));
  });

  it('leaves nothing usable of an interrupted login, and purges its rows', async () => {
    const kept = await login();
    const grants = () => query({ config }, sql<{ id: string }>`select id from identity_grants order by id`);
    await breakTokens(config);
    // The grant is committed and its first token is not: as if it had died between the two.
    expect((await post('/token', { grant_type: loginGrantType, username: 'ada', password })).status).toBe(
      500,
    );
    await program.stop('SIGKILL');
    await mendTokens(config);
    expect(await grants()).toHaveLength(2);
    const orphans = sql`select id from identity_grants where id not in
      (select grant_id from identity_tokens where grant_id is not null)`;
    expect(await query({ config }, orphans)).toHaveLength(1);
    await start();
    const next = (await refresh(kept)).body['refresh_token'] ?? '';
    neverPrinted(next);
    const database = openDatabase(config.database);
    await purgeExpired(database, Date.now() + 3 * 60 * 60 * 1000);
    await database.close();
    expect(await grants()).toEqual([{ id: kept.split('.')[1] }]);
    expect((await refresh(next)).status).toBe(200);
  }, 60_000);

  it('stops cleanly when asked to', async () => {
    expect(await program.stop('SIGTERM')).toBe(0);
    const lines = program.printed().trim().split('\n');
    const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
    expect(messages).toContain('identity listening');
    expect(messages.at(-1)).toBe('stopped');
  });
});
