import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { allReasons } from '../../src/check/reasons.ts';
import { logKeys, writeSentinel } from '../../src/revocation-log/keys.ts';
import { startEchoService, type Echo, type EchoService } from '../envoy/echo-service.ts';
import { startEnvoy, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { neverPrinted } from '../output.ts';
import { eventually } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import {
  issueToken as sign,
  jwkSetOf,
  testIssuer,
  testKey,
  testSecret,
  type TokenOverrides,
} from '../token/tokens.ts';
import { fileIssuer, startAuthorizer, untilReady, type AuthorizerProgram } from './authorizer-program.ts';

// Everything real: bin/curfew authorizer, Envoy with the recommended configuration, Redis, HTTP requests.

const hangingIssuer = 'https://hanging.test';
const slowIssuer = 'https://slow.test';
let folder: string;
let redis: RedisServer;
let keysServer: Server;
let echo: EchoService;
let authorizer: AuthorizerProgram;
let withoutKeys: AuthorizerProgram;
let envoy: RunningEnvoy;
const produced = new Set<string>();
const stops: (() => Promise<unknown>)[] = [];

/** A token that nothing may print. */
function issueToken(overrides: TokenOverrides = {}): string {
  const token = sign(overrides);
  neverPrinted(token);
  return token;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'curfew-e2e-'));
  // `/never` takes a connection and does not answer; `/once` answers the first time.
  let asked = 0;
  keysServer = createServer((request, response) => {
    if (request.url !== '/once') return;
    asked += 1;
    if (asked === 1) response.end(jwkSetOf(testKey()));
  });
  const listening = Promise.withResolvers<void>();
  keysServer.listen(0, '127.0.0.1', () => listening.resolve());
  stops.push(async () => {
    keysServer.closeAllConnections();
    keysServer.close();
  });
  [redis, echo] = await Promise.all([startRedis(), startEchoService(), listening.promise]);
  stops.push(redis.stop, echo.stop);
  await writeLog();
  const keysAt = `http://127.0.0.1:${(keysServer.address() as AddressInfo).port}`;
  const issuer = (name: string, path: string) => ({
    issuer: name,
    audiences: ['orders'],
    jwks: { uri: `${keysAt}${path}`, timeout: '30s', refresh: '1d' },
  });
  const hanging = issuer(hangingIssuer, '/never');
  const shared = { token: { sources: [{ header: 'authorization' }, { cookie: 'session' }] } };
  [authorizer, withoutKeys] = await Promise.all([
    startAuthorizer(folder, {
      ...shared,
      issuers: [fileIssuer(folder), hanging, issuer(slowIssuer, '/once')],
      revocation: { redis: { url: redis.url }, maxExposure: '10s', waitForSync: '5s' },
    }),
    startAuthorizer(folder, { issuers: [hanging] }, 'without-keys'),
  ]);
  stops.push(authorizer.stop, withoutKeys.stop);
  await untilReady(authorizer);
  const upstream = { host: '127.0.0.1', port: echo.port, protocol: 'http1' } as const;
  const listen = { host: '127.0.0.1', port: 0 };
  envoy = await startEnvoy({
    authorizer: authorizer.address,
    sources: [{ header: 'authorization' }, { cookie: 'session' }],
    services: [
      {
        name: 'orders',
        listen,
        upstream,
        publicPaths: [{ exact: '/healthz' }],
        routes: [
          { path: { prefix: '/optional' }, policy: { access: 'optional' } },
          { path: { prefix: '/admin' }, policy: { scopes: ['admin'] } },
          { path: { prefix: '/billing' }, policy: { audience: 'billing' } },
          // Below the smallest that a route may ask for.
          { path: { prefix: '/misconfigured' }, policy: { maxExposure: '1s' } },
        ],
      },
    ],
  });
  stops.push(envoy.stop);
});

afterAll(async () => {
  for (const stop of stops.toReversed()) await stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A revocation log that is as good as this Redis, with one revoked session. */
async function writeLog(): Promise<void> {
  const keys = logKeys('curfew');
  const at = Date.now() / 1000;
  const event = {
    v: 1,
    seq: 1,
    iss: testIssuer,
    kind: 'session',
    id: 'revoked-session',
    at,
    reason: 'logout',
  };
  await redis.command('ZADD', keys.log(1), '0', writeSentinel('test', 1), '1', JSON.stringify(event));
  const head = {
    v: 1,
    owner: 'test',
    covers: JSON.stringify([testIssuer, hangingIssuer, slowIssuer]),
    truth: 'redis',
    epoch: 1,
  };
  const counters = { seq: 1, beat: 0, trimBelow: 0, retention: 400 };
  const fields = Object.entries({ ...head, ...counters }).flatMap(([name, value]) => [name, String(value)]);
  await redis.command('HSET', keys.head, ...fields);
}

type Answer = {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
  line: Record<string, unknown>;
};

let requests = 0;

/** A request through Envoy, and the line it left in Envoy's access log. */
async function get(headers: Record<string, string> = {}, path = '/orders', via = envoy): Promise<Answer> {
  requests += 1;
  const marked = `${path}/${requests}`;
  const response = await fetch(`${via.url('orders')}${marked}`, { headers, redirect: 'manual' });
  const body = (await response.json()) as Record<string, unknown>;
  const line = await eventually('a line in the access log', () =>
    via.accessLog().find((candidate) => candidate['path'] === marked),
  );
  if (typeof line['reason'] === 'string') produced.add(line['reason']);
  return { status: response.status, headers: response.headers, body, line };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const now = () => Math.floor(Date.now() / 1000);

const invalidToken: [reason: string, headers: () => Record<string, string>, path?: string][] = [
  ['malformed_token', () => bearer('not.a.token')],
  [
    'multiple_tokens',
    () => ({ ...bearer(issueToken()), cookie: `session=${issueToken({ claims: { jti: '2' } })}` }),
  ],
  ['unknown_issuer', () => bearer(issueToken({ claims: { iss: `${testIssuer}/` } }))],
  ['algorithm_not_allowed', () => bearer(issueToken({ secret: { bytes: testSecret, algorithm: 'HS256' } }))],
  ['unknown_key', () => bearer(issueToken({ key: testKey('RS256', 'another') }))],
  [
    'bad_signature',
    () => bearer(issueToken({ key: testKey('RS256', 'another'), header: { kid: testKey().kid } })),
  ],
  ['wrong_type', () => bearer(issueToken({ header: { typ: 'JWT' } }))],
  ['missing_claim', () => bearer(issueToken({ claims: { grant_id: undefined } }))],
  ['expired', () => bearer(issueToken({ now: now() - 70 }))],
  ['not_yet_valid', () => bearer(issueToken({ claims: { nbf: now() + 30 } }))],
  ['lifetime_too_long', () => bearer(issueToken({ lifetimeSeconds: 302 }))],
  ['wrong_audience', () => bearer(issueToken({ claims: { aud: 'invoices' } }))],
  ['wrong_audience', () => bearer(issueToken()), '/billing'],
  ['revoked', () => bearer(issueToken({ claims: { grant_id: 'revoked-session' } }))],
];

describe('through a real Envoy, the authorizer', () => {
  it('allows a valid token and sends its claims to the service', async () => {
    const { status, body, line } = await get({
      ...bearer(issueToken()),
      'x-auth-subject': 'root',
      x_auth_role: 'admin',
    });
    expect(status).toBe(200);
    const { headers } = body as unknown as Echo;
    expect(Object.entries(headers).filter(([name]) => /^x[-_]auth/.test(name))).toEqual([
      ['x-auth-subject', 'user-1'],
      ['x-auth-session', 'grant-1'],
      ['x-auth-issuer', testIssuer],
      ['x-auth-scopes', 'read write'],
    ]);
    expect(line).toMatchObject({ decision: 'allow', issuer: testIssuer });
  });

  it('reads the token from a cookie', async () => {
    const { status, body } = await get({ cookie: `theme=dark; session=${issueToken()}` });
    expect(status).toBe(200);
    expect((body as unknown as Echo).headers['x-auth-subject']).toBe('user-1');
  });

  it('allows requests without a token on an optional route, without an identity', async () => {
    const { status, body } = await get({ 'x-auth-subject': 'root', 'x_auth-subject': 'root' }, '/optional');
    expect(status).toBe(200);
    const names = Object.keys((body as unknown as Echo).headers);
    expect(names.filter((name) => /^x[-_]auth/.test(name))).toEqual([]);
  });

  it('denies an invalid token even on an optional route', async () => {
    expect((await get(bearer(issueToken({ now: now() - 70 })), '/optional')).status).toBe(401);
  });

  it('is not called for a public path, where spoofed identity headers are removed, too', async () => {
    const response = await fetch(`${envoy.url('orders')}/healthz`, {
      headers: { 'x-auth-subject': 'root', x_auth_subject: 'root', ...bearer('nonsense') },
    });
    expect(response.status).toBe(200);
    const { headers } = (await response.json()) as Echo;
    expect(Object.keys(headers).filter((name) => /^x[-_]auth/.test(name))).toEqual([]);
  });

  it('denies a request without a token, without an error code: no_token', async () => {
    const { status, headers, body, line } = await get();
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toBe('Bearer realm="curfew"');
    expect(body).toEqual({
      type: 'urn:curfew:problem:no_token',
      title: 'The request needs an access token.',
      status: 401,
    });
    expect(line).toMatchObject({ decision: 'deny', reason: 'no_token' });
  });

  it.each(invalidToken)('refuses with invalid_token: %s', async (reason, headers, path) => {
    const answer = await get(headers(), path);
    expect(answer.line['reason']).toBe(reason);
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="curfew", error="invalid_token"');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.body).toEqual({
      type: 'urn:curfew:problem:invalid_token',
      title: 'The access token is not valid.',
      status: 401,
      code: 'invalid_token',
    });
  });

  it('names the scopes a route needs: insufficient_scope', async () => {
    const { status, headers, body, line } = await get(bearer(issueToken()), '/admin');
    expect(status).toBe(403);
    expect(headers.get('www-authenticate')).toBe(
      'Bearer realm="curfew", error="insufficient_scope", scope="admin"',
    );
    expect(body).toMatchObject({ status: 403, code: 'insufficient_scope' });
    expect(line['reason']).toBe('insufficient_scope');
  });

  it('denies every request on a route with unknown settings: misconfigured_route', async () => {
    const { status, body, line } = await get(bearer(issueToken()), '/misconfigured');
    expect([status, body['code'], line['reason']]).toEqual([500, 'unavailable', 'misconfigured_route']);
  });

  it('sends Retry-After while an issuer has no keys: keys_unavailable', async () => {
    const { status, headers, body, line } = await get(bearer(issueToken({ claims: { iss: hangingIssuer } })));
    expect([status, body['code'], line['reason']]).toEqual([503, 'unavailable', 'keys_unavailable']);
    expect(headers.get('retry-after')).toMatch(/^\d+$/);
  });

  it('is not ready without any keys: not_ready', async () => {
    const listen = { host: '127.0.0.1', port: 0 };
    const upstream = { host: '127.0.0.1', port: echo.port, protocol: 'http1' } as const;
    const other = await startEnvoy({
      authorizer: withoutKeys.address,
      services: [{ name: 'orders', listen, upstream }],
    });
    onTestFinished(() => other.stop());
    const { status, headers, line } = await get(bearer(issueToken()), '/orders', other);
    expect([status, line['reason']]).toEqual([503, 'not_ready']);
    expect(headers.get('retry-after')).toMatch(/^\d+$/);
    expect((await withoutKeys.readyz()).ready).toBe(false);
  });

  it('is down: Envoy denies with 503', async () => {
    const listen = { host: '127.0.0.1', port: 0 };
    const upstream = { host: '127.0.0.1', port: echo.port, protocol: 'http1' } as const;
    const other = await startEnvoy({
      authorizer: { kind: 'unix', path: join(folder, 'nobody.sock') },
      services: [{ name: 'orders', listen, upstream, publicPaths: [{ exact: '/healthz' }] }],
    });
    onTestFinished(() => other.stop());
    const statuses = await Promise.all(
      ['/orders', '/healthz'].map(async (path) => (await fetch(`${other.url('orders')}${path}`)).status),
    );
    expect(statuses).toEqual([503, 200]);
  });

  it('logs its decisions, and no token', async () => {
    const token = issueToken({ claims: { jti: 'logged' } });
    await get(bearer(token), '/written');
    const line = await eventually('a line in the log', () =>
      authorizer.log().find(({ route }) => String(route).startsWith('/written/')),
    );
    expect(line).toMatchObject({
      decision: 'allow',
      issuer: testIssuer,
      keyId: testKey().kid,
      method: 'GET',
    });
    expect(line['sessionHash']).toMatch(/^[0-9a-f]{12}$/);
    expect(authorizer.program.printed()).not.toContain(token);
  });

  it('counts every decision by its reason', async () => {
    const text = await authorizer.metrics();
    expect(text).toMatch(/curfew_checks_total\{decision="allow",reason="none"\} \d+/);
    expect(text).toMatch(/curfew_checks_total\{decision="deny",reason="revoked"\} \d+/);
    expect(text).not.toContain('user-1');
  });

  it('denies old tokens when it no longer receives revocations: freshness_unproven', async () => {
    await redis.kill();
    const old = () => bearer(issueToken({ now: now() - 45 }));
    const answer = await eventually(
      'staleness passes maxExposure',
      async () => {
        const seen = await get(old(), '/stale');
        return seen.status === 401 ? seen : undefined;
      },
      45_000,
    );
    expect(answer.line['reason']).toBe('freshness_unproven');
    expect((await get(bearer(issueToken()), '/stale')).status).toBe(200);
    expect((await authorizer.readyz()).ready).toBe(true);
  }, 60_000);

  it('denies requests beyond its limit: overloaded', async () => {
    await redis.start();
    const client = connectHttp2(envoy.url('orders'));
    client.setMaxListeners(0);
    const statuses = new Set<number>();
    let sent = 0;
    const overloaded = () => envoy.accessLog().find(({ reason }) => reason === 'overloaded');
    // A thousand may wait; Envoy gives up on each after a second, the authorizer after 30.
    const line = await eventually(
      'a line in the access log',
      async () => {
        const wave = Array.from({ length: 300 }, () => flood(client, (sent += 1)));
        for (const status of await Promise.all(wave)) statuses.add(status);
        return overloaded();
      },
      25_000,
    );
    client.destroy();
    expect([...statuses]).toEqual([503]);
    produced.add(String(line['reason']));
  }, 30_000);

  it('has given every reason of the table except the one for defects', () => {
    expect([...produced].toSorted()).toEqual(
      allReasons.filter((reason) => reason !== 'internal_error').toSorted(),
    );
  });
});

/** A request whose token names a key that is being waited for. */
function flood(client: ReturnType<typeof connectHttp2>, index: number): Promise<number> {
  const token = sign({ claims: { iss: slowIssuer, jti: `flood-${index}` }, header: { kid: 'new' } });
  const { promise, resolve } = Promise.withResolvers<number>();
  const stream = client.request({ ':path': '/flood', authorization: `Bearer ${token}` });
  stream.on('response', (headers) => resolve(headers[':status'] ?? 0)).on('error', () => resolve(0));
  stream.resume().end();
  return promise;
}
