import { createServer, type Server } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server, type Http2Server } from 'node:http2';
import { connect, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Check } from '../../src/check/check-request.ts';
import { eventually } from '../processes.ts';
import { startEnvoy, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { allowed, denied, startServer, type TestServer } from './grpc-fixture.ts';

/** Requests as they reached the service: the first line, then header by header. */
let reached: string[][];
/** Names of the trailers that reached the HTTP/2 service. */
let trailers: string[];
let policies: Record<string, string>[];
let decide: Check;
let service: Server;
let http2Service: Http2Server;
let authorizer: TestServer;
let envoy: RunningEnvoy;

beforeAll(async () => {
  service = createServer((request, response) => {
    note(request.method, request.url, request.rawHeaders);
    // An upgrade that the service doesn't know of: to it, whatever follows is the next request.
    const answer = (): unknown => response.end('done');
    if (request.url?.startsWith('/static/slow') === true) setTimeout(answer, 100);
    else answer();
  });
  http2Service = createHttp2Server().on('stream', (stream) => {
    stream.on('error', () => {});
    stream.on('trailers', (received) => trailers.push(...Object.keys(received)));
    stream.resume().on('end', () => {
      stream.respond({ ':status': 200 });
      stream.end();
    });
  });
  authorizer = await startServer((request) => {
    policies.push(Object.fromEntries(request?.contextExtensions ?? []));
    return decide(request);
  });
  const upstream = async (server: Server | Http2Server) => ({
    host: '127.0.0.1',
    port: await listening(server),
  });
  const listen = { host: '127.0.0.1', port: 0 };
  envoy = await startEnvoy({
    authorizer: authorizer.server.boundAddress(),
    services: [
      {
        name: 'service',
        listen,
        upstream: { ...(await upstream(service)), protocol: 'http1' },
        publicPaths: [{ exact: '/healthz' }, { prefix: '/static' }],
        routes: [
          { path: { exact: '/optional' }, policy: { access: 'optional' } },
          { path: { prefix: '/admin' }, policy: { scopes: ['admin'] } },
        ],
      },
      { name: 'http2', listen, upstream: await upstream(http2Service), publicPaths: [{ exact: '/healthz' }] },
    ],
  });
});

afterAll(async () => {
  await envoy.stop();
  await authorizer.server.stop();
  service.close();
  service.closeAllConnections();
  http2Service.close();
});

beforeEach(() => {
  [reached, trailers, policies] = [[], [], []];
  decide = () => allowed({ upstream: { set: [['x-auth-subject', 'alice']], metadata: undefined } });
});

async function listening(server: Server | Http2Server): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  return (server.address() as AddressInfo).port;
}

function note(method: string | undefined, path: string | undefined, raw: readonly string[]): void {
  const headers = raw.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${raw[index + 1]}`] : []));
  reached.push([`${method} ${path}`, ...headers]);
}

/** Sends bytes as they are, and returns what comes back once the given text is in it. */
async function send(bytes: string, until = '\r\n\r\n'): Promise<string> {
  const socket = connect(envoy.port('service'), '127.0.0.1');
  let received = '';
  socket.on('error', () => {});
  socket.setEncoding('latin1').on('data', (text: string) => (received += text));
  socket.write(bytes, 'latin1');
  await eventually(`${until} from envoy`, () => received.includes(until) || undefined);
  socket.destroy();
  return received;
}

const get = (path: string, ...headers: string[]): string =>
  [`GET ${path} HTTP/1.1`, 'host: service', ...headers, '', ''].join('\r\n');

describe('a header that poses as ours', () => {
  const poses = [
    'x-auth-subject: root',
    'X-Auth-Subject: root',
    'x_auth_subject: root',
    'x.auth.subject: root',
    'x-auth.subject: root',
    'x~auth!subject: root',
    `x-auth-other: ${'r'.repeat(4000)}`,
  ];

  it.each([
    ['/orders', ['x-auth-subject: alice']],
    ['/optional', ['x-auth-subject: alice']],
    ['/healthz', []],
    ['/static/app.js', []],
  ])('does not reach %s in any spelling, however often it is sent', async (path, expected) => {
    expect(await send(get(path, ...poses, ...poses))).toMatch(/^HTTP\/1.1 200/);
    expect(reached[0]?.filter((line) => /^x.auth./i.test(line))).toEqual(expected);
  });

  it.each(['/orders', '/healthz'])('does not reach %s as a trailer', async (path) => {
    const client = connectHttp2(envoy.url('http2'));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const stream = client.request({ ':method': 'POST', ':path': path }, { waitForTrailers: true });
    stream.on('wantTrailers', () =>
      stream.sendTrailers({ 'x-auth-subject': 'root', x_auth_a: 'b', other: 'c' }),
    );
    stream.on('response', (headers) => resolve(headers[':status'])).on('error', reject);
    stream.resume().end('body');
    expect(await promise.finally(() => client.destroy())).toBe(200);
    expect(trailers).toEqual(['other']);
  });

  it('is not made one that the next proxy drops, by a connection header of an upgrade', async () => {
    const upgrade = ['connection: Upgrade, x-auth-subject', 'upgrade: websocket'];
    await send(get('/orders', ...upgrade));
    expect(reached[0]).toContain('x-auth-subject: alice');
    expect(reached[0]?.filter((line) => line.startsWith('connection'))).toEqual(['connection: upgrade']);
  });
});

describe('a client', () => {
  it('cannot make Envoy send its request again', async () => {
    const steering = ['x-envoy-retry-on: retriable-status-codes', 'x-envoy-retriable-status-codes: 200'];
    await send(get('/healthz', ...steering, 'x-envoy-max-retries: 5'));
    expect(reached).toHaveLength(1);
  });

  it('cannot make Envoy give up on it, nor tell the service that it is internal', async () => {
    expect(await send(get('/static/slow', 'x-envoy-upstream-rq-timeout-ms: 1'))).toMatch(/^HTTP\/1.1 200/);
    expect(reached[0]?.filter((line) => line.startsWith('x-envoy-internal'))).toEqual([]);
  });

  it.each(['/healthz', '/static/slow'])(
    'cannot send a second request inside an upgrade of %s that the service does not take',
    async (path) => {
      const upgrade = ['connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13'];
      await send(get(path, ...upgrade) + get('/admin', 'x-auth-subject: root'));
      await send(get('/static/after'));
      expect(reached.map(([line]) => line)).toEqual([`GET ${path}`, 'GET /static/after']);
    },
  );

  it.each(['h2c', 'websocket, h2c', 'TLS/1.0'])('cannot upgrade to %s', async (protocol) => {
    await send(get('/healthz', 'connection: upgrade, http2-settings', `upgrade: ${protocol}`));
    expect(reached.flat().filter((line) => /^(connection|upgrade)/i.test(line))).toEqual([]);
  });

  it.each([
    '/admin',
    '/ADMIN/users',
    '/admin;x=1/users',
    '/admin%3bx/users',
    '/admin%20',
    '/admin.json',
    '/%61dmin',
    '//admin',
    '/./admin',
    '/x/..\\admin',
  ])('cannot get around what a route asks for by writing it %s', async (path) => {
    await send(get(path));
    expect(policies).toEqual([{ 'curfew.scopes': 'admin' }]);
  });

  it('cannot leave a public prefix with an absolute URL', async () => {
    decide = () => denied('no_token');
    expect(await send(get('http://service/static/../admin'))).toMatch(/^HTTP\/1.1 401/);
    expect(reached).toEqual([]);
  });

  it.each([
    'CONNECT service:80',
    'CONNECT /healthz',
    'OPTIONS *',
    'GET static/x',
    'GET http://service?/static/x',
  ])('cannot reach the service with %s', async (line) => {
    decide = () => denied('no_token');
    const bytes = `${line} HTTP/1.1\r\nhost: service\r\norigin: a\r\naccess-control-request-method: GET\r\n\r\n`;
    expect(await send(bytes)).toMatch(/^HTTP\/1.1 4/);
    expect(reached).toEqual([]);
  });
});
