import { request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Check, CheckRequest } from '../../src/check/check-request.ts';
import { eventually } from '../processes.ts';
import { startEchoService, startHttp2EchoService, type Echo, type EchoService } from './echo-service.ts';
import { startEnvoy, type RunningEnvoy } from './envoy-process.ts';
import { allowed, denied, startServer, type TestServer } from '../grpc/grpc-fixture.ts';

let envoy: RunningEnvoy;
let echo: EchoService;
let http2Echo: EchoService;
let authorizer: TestServer;
let decide: Check;
let asked: (CheckRequest | undefined)[];

beforeAll(async () => {
  [echo, http2Echo] = await Promise.all([startEchoService(), startHttp2EchoService()]);
  authorizer = await startServer((request) => {
    asked.push(request);
    return decide(request);
  });
  const listen = { host: '127.0.0.1', port: 0 };
  envoy = await startEnvoy({
    authorizer: authorizer.server.boundAddress(),
    sources: [{ header: 'authorization' }, { cookie: 'session' }],
    services: [
      {
        name: 'orders',
        listen,
        upstream: { host: '127.0.0.1', port: echo.port, protocol: 'http1' },
        publicPaths: [{ exact: '/healthz' }, { prefix: '/static' }],
        routes: [
          { path: { exact: '/optional' }, policy: { access: 'optional' } },
          {
            path: { prefix: '/admin' },
            policy: { scopes: ['admin', 'write'], audience: 'admin', maxExposure: '10s' },
          },
        ],
      },
      { name: 'plain', listen, upstream: { host: '127.0.0.1', port: echo.port, protocol: 'http1' } },
      { name: 'http2', listen, upstream: { host: '127.0.0.1', port: http2Echo.port } },
    ],
  });
});

afterAll(async () => {
  await envoy.stop();
  await Promise.all([authorizer.server.stop(), echo.stop(), http2Echo.stop()]);
});

beforeEach(() => {
  asked = [];
  decide = () => allowed();
});

async function get(path: string, headers: Record<string, string> = {}, method = 'GET') {
  const response = await fetch(`${envoy.url('orders')}${path}`, { headers, method, redirect: 'manual' });
  const text = await response.text();
  const body: unknown = text.startsWith('{') ? JSON.parse(text) : text;
  return { status: response.status, headers: response.headers, body, seen: (body as Echo).headers };
}

const spoofed = {
  'x-auth-subject': 'root',
  'X-Auth-Role': 'admin',
  x_auth_subject: 'root',
  'x-auth_session': 's',
};
const reservedOf = (headers: Record<string, string>) =>
  Object.entries(headers).filter(([name]) => /^x[-_]auth[-_]/i.test(name));

describe('through a real Envoy', () => {
  it('an allowed request reaches the service with the identity it was given', async () => {
    decide = () => allowed({ upstream: { set: [['x-auth-subject', 'alice']], metadata: undefined } });
    const { status, seen } = await get('/orders', spoofed);
    expect(status).toBe(200);
    expect(reservedOf(seen)).toEqual([['x-auth-subject', 'alice']]);
  });

  it('a header the decision removes does not reach the service', async () => {
    decide = () => allowed({ remove: ['authorization'] });
    const { seen } = await get('/orders', { authorization: 'Bearer x', 'x-other': 'stays' });
    expect(seen).not.toHaveProperty('authorization');
    expect(seen['x-other']).toBe('stays');
  });

  it.each(['/orders', '/optional', '/healthz', '/static/app.js'])(
    'no spelling of the reserved prefix gets past %s',
    async (path) => {
      const { status, seen } = await get(path, spoofed);
      expect(status).toBe(200);
      expect(reservedOf(seen)).toEqual([]);
    },
  );

  it('the check sees method, host, path, the credential sources and nothing of the rest', async () => {
    await get(
      '/orders?page=2',
      { authorization: 'Bearer x', cookie: 'session=y', 'x-other': 'private' },
      'POST',
    );
    const [seen] = asked;
    expect(seen).toMatchObject({ method: 'POST', path: '/orders?page=2' });
    expect(seen?.host).toBe(`127.0.0.1:${envoy.port('orders')}`);
    expect([...(seen?.headers.keys() ?? [])].filter((name) => !name.startsWith(':')).sort()).toEqual([
      'authorization',
      'cookie',
    ]);
  });

  it('two Authorization headers both arrive: Envoy joins them', async () => {
    const headers = ['Host', 'orders', 'Authorization', 'Bearer a', 'Authorization', 'Bearer b'];
    request(envoy.url('orders'), { headers }, (response) => response.resume()).end();
    await eventually('a check', () => asked[0]);
    expect(asked[0]?.headers.get('authorization')).toEqual(['Bearer a,Bearer b']);
  });

  it('bytes beyond ASCII arrive as they were sent', async () => {
    await get('/orders', { authorization: 'Bearer \u00e4\u00ff' });
    expect(asked[0]?.headers.get('authorization')).toEqual(['Bearer \u00e4\u00ff']);
  });

  it.each([
    ['/optional', { 'curfew.access': 'optional' }],
    [
      '/admin/users',
      { 'curfew.audience': 'admin', 'curfew.scopes': 'admin write', 'curfew.max-exposure': '10s' },
    ],
    ['/administrator', {}],
    ['/orders', {}],
  ])('the policy of the route %s arrives', async (path, policy) => {
    await get(path);
    expect(Object.fromEntries(asked[0]?.contextExtensions ?? [])).toEqual(policy);
  });

  it.each(['/healthz', '/healthz?full=1', '/static', '/static/', '/static/a%20b.js', '/static/%C3%A4.png'])(
    'the public path %s is not asked about',
    async (path) => {
      decide = () => denied('no_token');
      expect((await get(path)).status).toBe(200);
      expect(asked).toEqual([]);
    },
  );

  it.each([
    '/healthz/',
    '/healthz/x',
    '/healthz;x',
    '/HEALTHZ',
    '/staticfoo',
    '/static/..;/admin',
    '/static/..%3b/admin',
    '/static/%2e%2e;/admin',
    '/static/%252e%252e/admin',
    '/static/%c0%ae%c0%ae/admin',
    '/static/%00',
  ])('the path %s is not public', async (path) => {
    decide = () => denied('no_token');
    const { status } = await rawGet(path);
    expect([400, 401]).toContain(status);
  });

  it.each(['/static/../admin', '/static/%2e%2e/admin', '/static/./../admin', '//static/../admin'])(
    'dot segments out of a public prefix (%s) are resolved before the route is chosen',
    async (path) => {
      decide = () => denied('no_token');
      expect((await rawGet(path)).status).toBe(401);
      expect(asked[0]?.path).toBe('/admin');
    },
  );

  it.each(['/static/..%2fadmin', '/static/..%5cadmin', '/static%2f..%2fadmin'])(
    'an escaped slash (%s) is refused where paths differ in what they ask for',
    async (path) => {
      expect((await rawGet(path)).status).toBe(400);
    },
  );

  it('an escaped slash is kept where they do not', async () => {
    const response = await fetch(`${envoy.url('plain')}/a%2fb//c`);
    expect(((await response.json()) as Echo).path).toBe('/a%2fb//c');
  });

  it('a preflight is not asked about; another OPTIONS request is', async () => {
    decide = () => denied('no_token');
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'PUT' };
    expect((await get('/orders', preflight, 'OPTIONS')).status).toBe(200);
    expect((await get('/orders', { origin: 'https://app.example' }, 'OPTIONS')).status).toBe(401);
  });

  it.each([
    ['an empty origin', { origin: '', 'access-control-request-method': 'GET' }],
    ['an origin that is none', { origin: 'anything', 'access-control-request-method': 'GET' }],
    ['an empty method', { origin: 'https://app.example', 'access-control-request-method': '' }],
    ['a cookie', { origin: 'https://app.example', 'access-control-request-method': 'GET', cookie: 'a=b' }],
  ])('what only looks like a preflight, with %s, is asked about', async (_what, headers) => {
    decide = () => denied('no_token');
    expect((await get('/orders', headers, 'OPTIONS')).status).toBe(401);
  });

  it('what only looks like a preflight, with a body, is asked about', async () => {
    decide = () => denied('no_token');
    const headers = { origin: 'https://app.example', 'access-control-request-method': 'POST' };
    const response = await fetch(`${envoy.url('plain')}/orders`, { method: 'OPTIONS', headers, body: '{}' });
    expect(response.status).toBe(401);
  });

  it('a refusal reaches the client byte for byte', async () => {
    decide = () => denied('expired');
    const { status, headers, body } = await get('/orders');
    expect(status).toBe(401);
    expect(body).toEqual({
      type: 'urn:curfew:problem:invalid_token',
      title: 'The access token is not valid.',
      status: 401,
      code: 'invalid_token',
    });
    expect(headers.get('www-authenticate')).toBe('Bearer realm="curfew", error="invalid_token"');
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('a HEAD request gets the same head and no body', async () => {
    decide = () => denied('expired');
    const { status, headers, body } = await get('/orders', {}, 'HEAD');
    expect([status, body]).toEqual([401, '']);
    expect(headers.get('www-authenticate')).toBe('Bearer realm="curfew", error="invalid_token"');
  });

  it.each([
    ['expired', 16, 'invalid_token'],
    ['insufficient_scope', 7, 'insufficient_scope'],
    ['misconfigured_route', 13, 'unavailable'],
    ['overloaded', 14, 'unavailable'],
  ] as const)('a gRPC call refused for %s ends with its grpc-status', async (reason, grpcStatus, message) => {
    decide = () => denied(reason);
    const headers = await grpcCall();
    expect(headers).toMatchObject({
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': String(grpcStatus),
      'grpc-message': message,
    });
  });

  it('an allowed gRPC call reaches a service that speaks HTTP/2', async () => {
    expect(await grpcCall()).toMatchObject({ ':status': 200, 'grpc-status': '0' });
  });

  it('the access log holds decision and reason, and no query', async () => {
    decide = () => denied('revoked');
    await get('/logged?token=secret');
    const line = await eventually('a line in the access log', () =>
      envoy.accessLog().find(({ path }) => path === '/logged'),
    );
    expect(line).toMatchObject({ status: 401, decision: 'deny', reason: 'revoked', method: 'GET' });
    expect(JSON.stringify(line)).not.toContain('secret');
  });

  it('the metadata of an allowed request is there for the filters that follow', async () => {
    const metadata = { sub: 'alice', session: 's1', iss: 'https://idp.example', scopes: ['read'], exp: 1 };
    decide = () => allowed({ upstream: { set: [], metadata } });
    await get('/allowed-line');
    const line = await eventually('a line in the access log', () =>
      envoy.accessLog().find(({ path }) => path === '/allowed-line'),
    );
    expect(line).toMatchObject({ decision: 'allow', issuer: 'https://idp.example' });
  });

  it.each(['HTTP/1.1', 'HTTP/2'])(
    'a WebSocket over %s is opened for a request that is allowed',
    async (version) => {
      decide = () => allowed({ upstream: { set: [['x-auth-subject', 'alice']], metadata: undefined } });
      const open = version === 'HTTP/2' ? webSocketOverHttp2 : webSocketOverHttp1;
      expect(await open()).toBe('hello alice;ping');
      expect(asked).toHaveLength(1);
      decide = () => denied('no_token');
      expect(await open()).toBe('401');
    },
  );

  it('a check that takes longer than Envoy waits is a 503, not an allow', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    decide = async () => {
      await promise;
      return allowed();
    };
    expect((await get('/slow')).status).toBe(503);
    resolve();
  });

  it('a check that throws is a 503 without its message', async () => {
    decide = () => {
      throw new Error('secret of the house');
    };
    const { status, body } = await get('/broken');
    expect(status).toBe(503);
    expect(JSON.stringify(body)).not.toContain('secret');
    expect(body).toMatchObject({ code: 'unavailable' });
  });
});

/** A path as it is, which `fetch` would normalize. */
async function rawGet(path: string): Promise<{ status: number }> {
  const client = connectHttp2(envoy.url('orders'));
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const stream = client.request({ ':path': path });
  stream.on('response', (headers) => resolve(headers[':status'] ?? 0)).on('error', reject);
  stream.resume().end();
  const status = await promise.finally(() => client.destroy());
  return { status };
}

/** What comes back for `ping`, or the status of the refusal. */
async function webSocketOverHttp1(): Promise<string> {
  const headers = { connection: 'Upgrade', upgrade: 'websocket', 'x-auth-subject': 'root' };
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const opening = request(envoy.url('plain'), { headers });
  opening.on('response', (response) => resolve(String(response.resume().statusCode)));
  opening.on('upgrade', (_, socket, head) => conversation(socket, resolve, head)).on('error', reject);
  opening.end();
  return promise;
}

/** RFC 8441: an extended CONNECT. */
async function webSocketOverHttp2(): Promise<string> {
  const client = connectHttp2(envoy.url('plain'));
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  client.on('error', reject);
  await new Promise((settled) => client.once('remoteSettings', settled));
  const stream = client.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':path': '/',
    'x-auth-subject': 'root',
  });
  stream.on('response', ({ ':status': status }) => {
    if (status === 200) conversation(stream, resolve);
    else resolve(String(status));
  });
  stream.on('error', reject);
  return promise.finally(() => client.destroy());
}

function conversation(socket: Duplex, resolve: (text: string) => void, head: Buffer = Buffer.alloc(0)): void {
  let text = head.toString();
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    if (!text.endsWith('ping')) return;
    socket.destroy();
    resolve(text);
  });
  socket.on('error', () => {}).write('ping');
}

async function grpcCall() {
  const client = connectHttp2(envoy.url('http2'));
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
  const stream = client.request({
    ':method': 'POST',
    ':path': '/a.B/C',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('response', (headers) => resolve({ ...headers })).on('error', reject);
  stream.resume().end();
  return promise.finally(() => client.destroy());
}
