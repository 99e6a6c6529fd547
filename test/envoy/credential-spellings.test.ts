import { connect, createServer, type Http2Server, type OutgoingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Check } from '../../src/check/check-request.ts';
import { createForwarding } from '../../src/check/forwarding.ts';
import { wantedHeaders } from '../../src/envoy/wanted-headers.ts';
import { envoyConfig } from '../../src/injection/envoy-config.ts';
import { createAuthorizerMetrics, createRegistry } from '../../src/runtime/metrics.ts';
import type { CredentialSource } from '../../src/token/credential.ts';
import { startEnvoyWith, type RunningEnvoy } from './envoy-process.ts';
import { allowed, denied, startServer, type TestServer } from '../grpc/grpc-fixture.ts';

const sources: readonly CredentialSource[] = [
  { header: 'authorization' },
  { header: 'x-api-key' },
  { header: 'legacy_session.id' },
  { cookie: 'session' },
];
const prefix = 'x-auth-';
const headerSources = ['authorization', 'x-api-key', 'legacy_session.id', 'cookie'];
const otherSpellings = ['x_api_key', 'x.api.key', 'x-api_key', 'x_api-key', 'x-api.key', "x'api~key"].concat([
  'legacy-session-id',
  'legacy_session_id',
  'legacy.session.id',
  'legacy_session-id',
  'legacy-session.id',
]);
const notSpellings = ['x-api-keys', 'xapikey', 'x--api-key', 'my-x_api_key', 'legacysession.id', 'x_api'];

/** Headers and trailers as they reached the service. */
let reached: { headers: Record<string, unknown>; trailers: Record<string, unknown> }[];
let asked: number;
let decide: Check;
let service: Http2Server;
let authorizer: TestServer;
let envoy: RunningEnvoy;

beforeAll(async () => {
  service = createServer().on('stream', (stream, headers) => {
    const request = { headers: { ...headers }, trailers: {} };
    reached.push(request);
    stream.on('error', () => {});
    stream.on('trailers', (trailers) => (request.trailers = { ...trailers }));
    stream.resume().on('end', () => {
      stream.respond({ ':status': 200 });
      stream.end();
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  service.listen(0, '127.0.0.1', resolve);
  await promise;
  authorizer = await startServer(
    (request) => {
      asked += 1;
      return decide(request);
    },
    { headers: wantedHeaders(sources, prefix, { corsOrigins: [] }) },
  );
  const service1 = {
    name: 'stripped',
    listen: { host: '127.0.0.1', port: 0 },
    upstream: { host: '127.0.0.1', port: (service.address() as AddressInfo).port },
    publicPaths: [{ exact: '/public' }],
    routes: [{ path: { exact: '/optional' }, policy: { access: 'optional' as const } }],
  };
  const config = JSON.parse(
    JSON.stringify(
      envoyConfig({
        admin: { host: '127.0.0.1', port: 0 },
        authorizer: authorizer.server.boundAddress(),
        sources,
        services: [service1, { ...service1, name: 'kept' }],
      }),
    ),
  );
  // As in a configuration of somebody's own: nothing ahead of ext_authz removes headers.
  const [kept] = config.static_resources.listeners[1].filter_chains[0].filters;
  kept.typed_config.http_filters.shift();
  envoy = await startEnvoyWith(config);
});

afterAll(async () => {
  await envoy.stop();
  await authorizer.server.stop();
  service.close();
});

beforeEach(() => {
  [reached, asked] = [[], 0];
  decide = () => allowed();
});

async function ask(
  listener: string,
  headers: OutgoingHttpHeaders,
  trailers: OutgoingHttpHeaders = {},
): Promise<number | undefined> {
  const session = connect(envoy.url(listener));
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  session.on('error', reject);
  const stream = session.request(
    { ':path': '/orders', ...headers },
    { waitForTrailers: true, endStream: false },
  );
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.on('response', (answer) => resolve(answer[':status']));
  stream.on('error', reject);
  stream.end('body');
  const status = await promise;
  session.destroy();
  return status;
}

const forged = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, 'Bearer forged']));
const namesReached = (part: 'headers' | 'trailers'): string[] =>
  Object.entries(reached[0]?.[part] ?? {})
    .filter(([, value]) => value === 'Bearer forged')
    .map(([name]) => name);

describe("another spelling of a token's header", () => {
  it.each(['/orders', '/optional', '/public'])('does not reach the service on %s', async (path) => {
    const good = { 'x-api-key': 'Bearer good', 'legacy_session.id': 'good' };
    const status = await ask('stripped', { ':path': path, ...good, ...forged(otherSpellings) });
    expect(status).toBe(200);
    expect(namesReached('headers')).toEqual([]);
    expect(reached[0]?.headers).toMatchObject(good);
  });

  it('does not reach the service with a preflight', async () => {
    decide = () => denied('no_token');
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'PUT' };
    expect(await askPreflight({ ...preflight, ...forged(otherSpellings) })).toBe(200);
    expect(asked).toBe(0);
    expect(namesReached('headers')).toEqual([]);
  });

  it.each(['/orders', '/public'])(
    'does not reach the service as a trailer on %s, nor does the header itself',
    async (path) => {
      const trailers = forged([...otherSpellings, ...headerSources, 'x-checksum']);
      expect(await ask('stripped', { ':method': 'POST', ':path': path }, trailers)).toBe(200);
      expect(namesReached('trailers')).toEqual(['x-checksum']);
    },
  );

  it('is not what another header has', async () => {
    expect(await ask('stripped', forged(notSpellings))).toBe(200);
    expect(namesReached('headers').toSorted()).toEqual(notSpellings.toSorted());
  });

  it.each([
    ['on a required route', '/orders'],
    ['on an optional route', '/optional'],
  ])('is removed by the authorizer where no filter did so, %s', async (_, path) => {
    const forwarding = createForwarding({
      prefix,
      headers: {},
      forwardAuthorization: true,
      sources,
      metrics: createAuthorizerMetrics(createRegistry()),
    });
    decide = (request) => allowed({ remove: forwarding.removeAlways(request) });
    const good = { 'x-api-key': 'Bearer good' };
    const headers = { ':path': path, ...good, ...forged([...otherSpellings, ...notSpellings]) };
    expect(await ask('kept', headers)).toBe(200);
    expect(namesReached('headers').toSorted()).toEqual(notSpellings.toSorted());
    expect(reached[0]?.headers).toMatchObject(good);
  });
});

describe('what looks like a preflight', () => {
  it.each(headerSources)('is asked about when it carries %s', async (name) => {
    decide = () => denied('no_token');
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'PUT' };
    expect(await askPreflight({ ...preflight, [name]: 'Bearer x' })).toBe(401);
    expect(asked).toBe(1);
  });
});

async function askPreflight(headers: OutgoingHttpHeaders): Promise<number | undefined> {
  const session = connect(envoy.url('stripped'));
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  session.on('error', reject);
  const stream = session.request({ ':method': 'OPTIONS', ':path': '/orders', ...headers });
  stream.on('response', (answer) => resolve(answer[':status']));
  stream.on('error', reject);
  stream.end();
  const status = await promise;
  session.destroy();
  return status;
}
