import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { connect, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { envoyConfigCommand } from '../../src/command/envoy-config.ts';
import { startEnvoy, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { allowed, startServer, type TestServer } from '../grpc/grpc-fixture.ts';
import { eventually } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { decide, envoyConfigOf, injected, options, podWith } from './fixtures.ts';

/** Header lines of each request that reached the service. */
let reached: Map<string, string[]>[];
let service: Server;
let authorizer: TestServer;
let envoy: RunningEnvoy;

// The most that the authorizer can be configured to add (`upstream.headers`).
const identityHeaders = Array.from({ length: 32 }, (_, at): [string, string] => [
  `x-auth-${at}`,
  'a'.repeat(64),
]);

beforeAll(async () => {
  service = createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => {
    reached.push(
      new Map(Object.entries(request.headersDistinct).map(([name, values]) => [name, values ?? []])),
    );
    request.resume().on('end', () => response.end('served'));
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  service.listen(0, '127.0.0.1', resolve);
  await promise;
  authorizer = await startServer(() => allowed({ upstream: { set: identityHeaders, metadata: undefined } }));
  const { port } = service.address() as AddressInfo;
  const common = {
    listen: { host: '127.0.0.1', port: 0 },
    upstream: { host: '127.0.0.1', port, protocol: 'http1' },
  } as const;
  envoy = await startEnvoy({
    authorizer: authorizer.server.boundAddress(),
    services: [
      { name: 'edge', ...common },
      { name: 'behind-one', ...common, trustedProxyHops: 1 },
      { name: 'behind-two', ...common, trustedProxyHops: 2 },
    ],
  });
});

afterAll(async () => {
  await envoy.stop();
  await authorizer.server.stop();
  service.close();
  service.closeAllConnections();
});

beforeEach(() => {
  reached = [];
});

/** Sends a request as it is, and returns the answer: up to its end, or until Envoy closes the connection. */
async function send(listener: string, head: readonly string[], body = ''): Promise<string> {
  const socket = connect(envoy.port(listener), '127.0.0.1');
  let answer = '';
  let closed = false;
  socket.on('error', () => {}).on('close', () => (closed = true));
  socket.setEncoding('latin1').on('data', (text: string) => (answer += text));
  socket.write([...head, '', body].join('\r\n'), 'latin1');
  await eventually('an answer', () => closed || /\r\n\r\n(?:[^]*served)/.test(answer) || undefined);
  socket.destroy();
  return answer;
}

const statusOf = (answer: string): number => Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1]);

/** A request for `/`; the connection ends after it. */
const get = (...headers: readonly string[]): string[] => [
  'GET / HTTP/1.1',
  'Host: shop.example',
  'Connection: close',
  ...headers,
];

const forwarded = [
  'X-Forwarded-For: 198.51.100.20',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Host: shop.example',
  'X-Forwarded-Port: 8443',
];

describe('a service behind a proxy that ends TLS', () => {
  it.each(['behind-one', 'behind-two'])('learns what the proxy says of the client: %s', async (listener) => {
    expect(statusOf(await send(listener, get(...forwarded)))).toBe(200);
    expect(reached[0]?.get('x-forwarded-proto')).toEqual(['https']);
    expect(reached[0]?.get('x-forwarded-host')).toEqual(['shop.example']);
    expect(reached[0]?.get('x-forwarded-port')).toEqual(['8443']);
    expect(reached[0]?.get('x-forwarded-for')?.join()).toMatch(/^198\.51\.100\.20,[^,]+$/);
  });

  it('learns the protocol of the connection itself from Envoy where no proxy says one', async () => {
    await send('behind-one', get());
    expect(reached[0]?.get('x-forwarded-proto')).toEqual(['http']);
  });

  it('learns it from Envoy alone where no proxy is trusted', async () => {
    await send('edge', get(...forwarded));
    expect(reached[0]?.get('x-forwarded-proto')).toEqual(['http']);
  });
});

describe('a client', () => {
  // Each is one address that Envoy could take for internal: by its default, by the list of the configuration,
  // by loopback.
  const addresses = ['', '10.1.2.3', '0.0.0.0', '127.0.0.1', '::1', '::ffff:0.0.0.0', 'fd00::1', 'unknown'];
  const steering = {
    'x-envoy-internal': 'true',
    'x-envoy-original-path': '/other',
    'x-envoy-original-host': 'other',
    'x-envoy-original-url': 'http://other/',
    'x-envoy-decorator-operation': 'other',
    'x-envoy-expected-rq-timeout-ms': '1',
    'x-envoy-force-trace': 'true',
    'x-envoy-ip-tags': 'office',
    'x-envoy-retry-on': '5xx',
    'x-envoy-retry-grpc-on': 'unavailable',
    'x-envoy-retriable-status-codes': '200',
    'x-envoy-retriable-header-names': 'date',
    'x-envoy-max-retries': '5',
    'x-envoy-hedge-on-per-try-timeout': 'true',
    'x-envoy-upstream-rq-timeout-ms': '1',
    'x-envoy-upstream-rq-per-try-timeout-ms': '1',
    'x-envoy-upstream-alt-stat-name': 'other',
    'x-envoy-downstream-service-cluster': 'other',
    'x-envoy-downstream-service-node': 'other',
  };

  it.each(
    ['edge', 'behind-one', 'behind-two'].flatMap((listener) =>
      addresses.map((address) => [listener, address] as const),
    ),
  )('cannot steer Envoy through %s with X-Forwarded-For: %s', async (listener, address) => {
    const lines = Object.entries(steering).map(([name, value]) => `${name}: ${value}`);
    const from = address === '' ? [] : [`X-Forwarded-For: ${address}`];
    expect(statusOf(await send(listener, get(...from, 'X-Forwarded-Proto: https', ...lines)))).toBe(200);
    expect(reached).toHaveLength(1);
    expect(Object.keys(steering).filter((name) => reached[0]?.has(name))).toEqual([]);
  });

  it('cannot choose the address that Envoy vouches for where no proxy is trusted', async () => {
    await send('edge', get('X-Forwarded-For: 198.51.100.20', 'x-envoy-external-address: 198.51.100.21'));
    expect(reached[0]?.get('x-envoy-external-address')).toEqual(['127.0.0.1']);
  });
});

describe('a caller that speaks HTTP/1.0', () => {
  it.each([
    ['as nginx proxies by default', ['GET / HTTP/1.0', 'Host: shop.example', 'Connection: close']],
    ['that keeps its connection', ['GET / HTTP/1.0', 'Host: shop.example', 'Connection: keep-alive']],
    ['without a host, as load balancers check', ['GET / HTTP/1.0']],
  ])('is served %s', async (_what, head) => {
    expect(statusOf(await send('behind-one', head))).toBe(200);
    expect(reached[0]?.get('x-auth-0')).toHaveLength(1);
  });

  it('is served with a body', async () => {
    const head = ['POST / HTTP/1.0', 'Host: shop.example', 'Content-Length: 5'];
    expect(statusOf(await send('edge', head, 'order'))).toBe(200);
    expect(reached[0]?.get('content-length')).toEqual(['5']);
  });

  it('is refused when its body has two lengths', async () => {
    const head = ['POST / HTTP/1.0', 'Host: a', 'Content-Length: 2', 'Transfer-Encoding: chunked'];
    expect(statusOf(await send('edge', head, '2\r\nhi\r\n0\r\n\r\n'))).toBe(400);
    expect(reached).toEqual([]);
  });
});

describe('a request with many headers', () => {
  const padding = (count: number, bytes = 1): string[] =>
    Array.from({ length: count }, (_, at) => `X-Padding-${at}: ${'p'.repeat(bytes)}`);

  it.each([60, 88, 94, 97])(
    'of %d and the three of every client is served when it is allowed',
    async (count) => {
      expect(statusOf(await send('edge', get(...padding(count))))).toBe(200);
      expect(reached[0]?.has('x-auth-31')).toBe(true);
    },
  );

  // Between what Envoy reads and what it forwards, the authorizer's headers are added.
  it.each([102, 106, 110, 120, 130, 141, 142, 200])('of %d more is never a server error', async (count) => {
    const status = statusOf(await send('edge', get(...padding(count))));
    expect([200, 431]).toContain(status);
    expect(reached).toHaveLength(status === 200 ? 1 : 0);
  });

  it.each([52, 54, 56, 57, 58, 59, 60, 64])('of %d KiB is never a server error', async (kib) => {
    const status = statusOf(await send('edge', get(...padding(16, (kib * 1024) / 16 - 16))));
    expect(kib < 55 ? [200] : [200, 431]).toContain(status);
    expect(reached).toHaveLength(status === 200 ? 1 : 0);
  });
});

describe('how many proxies are in front', () => {
  const hopsOf = (config: unknown): string[] =>
    [...JSON.stringify(config).matchAll(/"xff_num_trusted_hops":(\d+)/g)].map(([, hops]) => hops ?? '');
  const http = [{ name: 'http', containerPort: 4000 }];

  it('is one for a pod, which an ingress is in front of', () => {
    expect(hopsOf(envoyConfigOf(injected(podWith(http))))).toEqual(['1']);
  });

  it("is the injector's setting, and the pod's own over it", () => {
    const given = (trustedProxyHops: number) => options({ envoy: { trustedProxyHops } });
    const annotated = podWith(http, { 'curfew/trusted-proxy-hops': '3' });
    expect(hopsOf(envoyConfigOf(injected(podWith(http), given(2))))).toEqual(['2']);
    expect(hopsOf(envoyConfigOf(injected(podWith(http), given(0))))).toEqual([]);
    expect(hopsOf(envoyConfigOf(injected(annotated, given(0))))).toEqual(['3']);
  });

  it.each(['9', '-1', '1.5', '', 'one'])('is no %j in an annotation', (value) => {
    expect(decide(podWith(http, { 'curfew/trusted-proxy-hops': value }))).toMatchObject({
      reason: 'invalid_annotation',
      message: 'curfew/trusted-proxy-hops: must be a number from 0 to 8',
    });
  });

  const print = async (...args: readonly string[]): Promise<unknown> => {
    const file = join(temporaryDirectory(), 'authorizer.yaml');
    writeFileSync(file, stringify({ issuers: [{ issuer: 'https://idp.example', audiences: ['orders'] }] }));
    let printed = '';
    const output = { print: (line: string) => void (printed += line), warn: () => {} };
    const all = ['--config', file, '--upstream', '127.0.0.1:3000', '--json', ...args];
    expect(await envoyConfigCommand.run(all, output)).toBe(0);
    return JSON.parse(printed);
  };

  it('is none for what envoy-config prints, unless it is told', async () => {
    expect(hopsOf(await print())).toEqual([]);
    expect(hopsOf(await print('--trusted-proxy-hops', '2'))).toEqual(['2']);
    await expect(print('--trusted-proxy-hops', 'all')).rejects.toThrow('must be a number from 0 to 8');
  });
});
