import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as client from 'openid-client';
import * as v from 'valibot';
import { identitySchema, type IdentityConfig } from '../../src/config/identity.ts';
import { createIdentity } from '../../src/programs/identity.ts';
import { addUser } from '../../src/identity/operator/account-commands.ts';
import { systemClock, type Clock } from '../../src/runtime/clock.ts';
import type { Lifecycle } from '../../src/runtime/lifecycle.ts';
import { createLog } from '../../src/runtime/log.ts';
import { createRegistry } from '../../src/runtime/metrics.ts';
import { neverPrinted, outputFile } from '../output.ts';
import { freePort } from '../processes.ts';

export const loginGrantType = 'urn:curfew:grant-type:login';
export const deviceGrantType = 'urn:ietf:params:oauth:grant-type:device_code';
export const gatewaySecret = 'the-secret-of-the-gateway-of-these-tests';
export const serviceSecret = 'the-secret-of-the-service-of-these-tests';
export const password = 'tell-nobody-of-me';

/** What a test may change of the configuration. */
export type Overrides = { [Key in keyof v.InferInput<typeof identitySchema>]?: unknown };

export type TestIdentity = {
  readonly issuer: string;
  readonly config: IdentityConfig;
  readonly admin: string;
  /** Everything logged so far, at level debug. */
  logged(): string;
  metric(name: string): Promise<number>;
  /** Adds an account with the common password. @returns its id */
  addUser(username: string): Promise<string>;
  /** openid-client, configured by discovery. */
  relyingParty(clientId: string, authentication?: client.ClientAuth): Promise<client.Configuration>;
  stop(): Promise<void>;
};

export const webRedirect = 'http://127.0.0.1:3000/cb';

export const clients: readonly object[] = [
  {
    client_id: 'web',
    client_name: 'Web shop <&>',
    token_endpoint_auth_method: 'none',
    redirect_uris: [webRedirect],
    post_logout_redirect_uris: ['http://127.0.0.1:3000/bye'],
    grant_types: ['authorization_code', 'refresh_token'],
  },
  {
    client_id: 'other',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['http://127.0.0.1:3001/cb'],
    grant_types: ['authorization_code', 'refresh_token'],
  },
  {
    client_id: 'native',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['com.example.app:/cb'],
    grant_types: ['authorization_code', 'refresh_token'],
  },
  { client_id: 'cli', token_endpoint_auth_method: 'none', grant_types: [loginGrantType, 'refresh_token'] },
  { client_id: 'cli-without-refresh', token_endpoint_auth_method: 'none', grant_types: [loginGrantType] },
  {
    client_id: 'device',
    client_name: 'Television',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: [deviceGrantType, 'refresh_token'],
  },
  {
    client_id: 'partner',
    client_name: 'Partner <b>',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['http://127.0.0.1:3002/cb'],
    grant_types: ['authorization_code', 'refresh_token'],
    consent_required: true,
  },
  {
    client_id: 'gateway',
    client_secret: gatewaySecret,
    grant_types: ['client_credentials'],
    may_introspect: true,
  },
  {
    client_id: 'console',
    client_secret: gatewaySecret,
    grant_types: ['client_credentials'],
    admin_scopes: [
      'sessions:read',
      'sessions:revoke',
      'everything:revoke',
      'keys:read',
      'keys:manage',
      'audit:read',
    ],
  },
  {
    client_id: 'helpdesk',
    client_secret: gatewaySecret,
    grant_types: ['client_credentials'],
    admin_scopes: ['sessions:read'],
  },
  { client_id: 'service', client_secret: serviceSecret, grant_types: ['client_credentials'] },
];

/** A test's own identity over real HTTP, on a database of its own. Without `redis` there is none to reach. */
export async function startIdentity(
  overrides: Overrides = {},
  dependencies: { clock?: Clock; readDatabaseMs?: () => Promise<number>; directory?: string } = {},
): Promise<TestIdentity> {
  const directory = dependencies.directory ?? mkdtempSync(join(tmpdir(), 'curfew-identity-'));
  const [port, adminPort, deadPort] = [await freePort(), await freePort(), await freePort()];
  const issuer = typeof overrides.issuer === 'string' ? overrides.issuer : `http://127.0.0.1:${port}`;
  const config = v.parse(identitySchema, {
    issuer,
    listen: `127.0.0.1:${port}`,
    admin: `127.0.0.1:${adminPort}`,
    database: { sqlite: join(directory, 'identity.db') },
    redis: { url: `redis://127.0.0.1:${deadPort}` },
    clients,
    resources: { orders: { scopes: ['read', 'write'] } },
    ...overrides,
  });
  let logged = '';
  const file = outputFile('identity');
  const write = (line: string): void => {
    logged += line;
    appendFileSync(file, line);
  };
  const log = createLog({ program: 'identity', level: 'debug', destination: { write } });
  const registry = createRegistry();
  const clock = dependencies.clock ?? systemClock;
  const forget = (): void => {
    if (dependencies.directory === undefined) rmSync(directory, { recursive: true, force: true });
  };
  // A clock of the test's is the database's, too.
  const ownClock = dependencies.clock === undefined ? {} : { readDatabaseMs: async () => clock.nowMs() };
  const { readDatabaseMs = ownClock.readDatabaseMs } = dependencies;
  const start = async (): Promise<Lifecycle> => {
    const asked = readDatabaseMs === undefined ? {} : { readDatabaseMs };
    const lifecycle = await createIdentity(config, { log, registry, clock, ...asked });
    await lifecycle.start();
    return lifecycle;
  };
  const lifecycle = await start().catch((thrown: unknown) => {
    forget();
    throw thrown;
  });
  neverPrinted(password, gatewaySecret, serviceSecret);

  return {
    issuer,
    config,
    admin: `http://127.0.0.1:${adminPort}`,
    logged: () => logged,
    metric: async (name) => metricValue(await registry.metrics(), name),
    addUser: async (username) => {
      const id = await addUser(config, { username, password });
      if (id === undefined) throw new Error(`${username} exists`);
      return id;
    },
    relyingParty: (clientId, authentication = client.None()) =>
      client.discovery(new URL(issuer), clientId, undefined, authentication, {
        execute: [client.allowInsecureRequests],
      }),
    stop: async () => {
      await lifecycle.stop();
      forget();
    },
  };
}

function metricValue(text: string, name: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}
