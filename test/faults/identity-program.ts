import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { identitySchema } from '../../src/config/identity.ts';
import { addUser as addAccount } from '../../src/identity/operator/account-commands.ts';
import { loadConfig } from '../../src/runtime/config.ts';
import { neverPrinted } from '../output.ts';
import { eventually, freePort, startCurfew, tail, type RunningProgram } from '../processes.ts';

export const loginGrantType = 'urn:curfew:grant-type:login';

/** A running `bin/curfew identity` and what clients ask of it. */
export type IdentityProgram = {
  readonly issuer: string;
  readonly program: RunningProgram;
  /** The role of its publisher; undefined if it doesn't answer. */
  role(): Promise<string | undefined>;
  login(username: string): Promise<Session>;
  refresh(session: Session): Promise<Session>;
  logout(session: Session): Promise<void>;
};

export type Session = { readonly id: string; readonly access: string; readonly refresh: string };

export const password = 'tell-nobody-of-me';

export type IdentityPlace = {
  readonly folder: string;
  readonly database: Record<string, unknown>;
  readonly redis: string;
  /** Public address, which every replica shares. */
  readonly issuer: string;
  readonly port: number;
  readonly tokenLifetime?: string;
};

export async function startIdentityProgram(place: IdentityPlace, name: string): Promise<IdentityProgram> {
  const admin = `127.0.0.1:${await freePort()}`;
  const file = join(place.folder, `${name}.yaml`);
  const config = {
    issuer: place.issuer,
    listen: `127.0.0.1:${place.port}`,
    admin,
    database: place.database,
    redis: { url: place.redis },
    clients: [
      {
        client_id: 'cli',
        token_endpoint_auth_method: 'none',
        grant_types: [loginGrantType, 'refresh_token'],
      },
    ],
    resources: { orders: { scopes: ['read'] } },
    tokens: { lifetime: place.tokenLifetime ?? '60s' },
    log: { level: 'info' },
  };
  writeFileSync(file, stringify(config));
  neverPrinted(password);
  const program = startCurfew(name, ['identity', '--config', file]);
  onTestFinished(async () => {
    program.child.kill('SIGCONT');
    await program.stop();
  });
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://${admin}${path}`, { signal: AbortSignal.timeout(500) });
    return await response.json();
  };
  const role = async (): Promise<string | undefined> => {
    const answer = await get('/readyz').catch(() => undefined);
    return (answer as { parts?: { revocation?: { role?: string } } } | undefined)?.parts?.revocation?.role;
  };
  await eventually(
    `${name} is ready`,
    async () => {
      if (program.child.exitCode !== null) throw new Error(`${name} ended:\n${tail(program.printed())}`);
      const answer = await get('/readyz').catch(() => undefined);
      return (answer as { ready?: boolean } | undefined)?.ready === true ? true : undefined;
    },
    30_000,
  );
  const base = `http://127.0.0.1:${place.port}`;
  const grant = (parameters: Record<string, string>): Promise<Session> => token(base, parameters);
  return {
    issuer: place.issuer,
    program,
    role,
    login: (username) => grant({ grant_type: loginGrantType, username, password }),
    refresh: ({ refresh }) => grant({ grant_type: 'refresh_token', refresh_token: refresh }),
    logout: async ({ refresh }) => {
      const response = await post(base, '/token/revocation', { token: refresh });
      await response.arrayBuffer();
      if (response.status !== 200) throw new Error(`the logout is answered with ${response.status}`);
    },
  };
}

const post = (base: string, path: string, parameters: Record<string, string>): Promise<Response> =>
  fetch(`${base}${path}`, {
    method: 'POST',
    body: new URLSearchParams({ client_id: 'cli', ...parameters }),
  });

async function token(base: string, parameters: Record<string, string>): Promise<Session> {
  const response = await post(base, '/token', parameters);
  const body = (await response.json()) as { access_token?: string; refresh_token?: string };
  const { access_token: access = '', refresh_token: refresh = '' } = body;
  if (response.status !== 200) throw new Error(`${response.status} ${JSON.stringify(body)}`);
  const claims = JSON.parse(Buffer.from(access.split('.')[1] ?? '', 'base64url').toString()) as {
    grant_id?: string;
  };
  return { id: claims.grant_id ?? '', access, refresh };
}

/** Adds an account with the common password, as an operator does. */
export async function addUser(place: IdentityPlace, name: string, username: string): Promise<void> {
  const config = loadConfig({ schema: identitySchema, file: join(place.folder, `${name}.yaml`) });
  if ((await addAccount(config, { username, password })) === undefined) throw new Error(`${username} exists`);
}
