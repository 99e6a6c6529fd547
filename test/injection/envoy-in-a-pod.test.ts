import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { probeClusters, probeListener } from '../../src/injection/envoy-probes.ts';
import type { ProbeTarget } from '../../src/injection/probe-rewriting.ts';
import { startEnvoyWith, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { eventually, freePort } from '../processes.ts';
import { selfSigned } from './certificate.ts';
import { envoyConfigOf, injected, podFixture } from './fixtures.ts';

/** Requests that reached the application. */
const seen: string[] = [];
/** Those of their headers that say who asks. */
const posing: string[] = [];
const running: Server[] = [];
let envoy: RunningEnvoy;

async function serve(server: Server): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, resolve);
  await promise;
  running.push(server);
  return (server.address() as AddressInfo).port;
}

function grpcHealth(): Server {
  const server = createHttp2Server();
  server.on('stream', (stream, headers) => {
    seen.push(`grpc ${headers[':path'] ?? ''}`);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    // HealthCheckResponse { status: SERVING }.
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
  });
  return server;
}

beforeAll(async () => {
  const application = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${String(request.headers['x-probe'] ?? '')}`.trim());
    posing.push(...Object.keys(request.headers).filter((name) => /^x.auth.|^x[^-]api/.test(name)));
    if (request.url === '/old') response.writeHead(302, { location: '/secret' }).end();
    else if (request.url === '/broken') response.writeHead(500).end();
    else response.writeHead(200).end('ok');
  });
  const http = await serve(application);
  const https = await serve(
    createTlsServer(selfSigned('app'), (request, response) => {
      seen.push(`https ${request.url}`);
      response.end('ok');
    }),
  );
  const targets: ProbeTarget[] = [
    { kind: 'http', path: '/a1', port: http, scheme: 'HTTP', toPath: '/ready?full=1' },
    { kind: 'http', path: '/a2', port: http, scheme: 'HTTP', toPath: '/old' },
    { kind: 'http', path: '/a3', port: http, scheme: 'HTTP', toPath: '/broken' },
    { kind: 'http', path: '/a4', port: https, scheme: 'HTTPS', toPath: '/tls' },
    { kind: 'http', path: '/a5', port: await freePort(), scheme: 'HTTP', toPath: '/' },
    {
      kind: 'tcp',
      path: '/t1',
      port: await serve(createTcpServer((socket) => socket.destroy())),
      timeoutMs: 1000,
    },
    { kind: 'tcp', path: '/t2', port: await freePort(), timeoutMs: 1000 },
    { kind: 'grpc', path: '/g1', port: await serve(grpcHealth()), service: 'orders', timeoutMs: 1000 },
    { kind: 'grpc', path: '/g2', port: http, service: '', timeoutMs: 1000 },
    { kind: 'grpc', path: '/g3', port: await serve(grpcHealth()), service: 'Cart / ready', timeoutMs: 1000 },
  ];
  const options = {
    listen: { host: '127.0.0.1', port: 0 },
    upstreamHost: '127.0.0.1',
    sourceAddress: '127.0.0.6',
    targets,
    sources: [{ header: 'x-api-key' }],
  };
  envoy = await startEnvoyWith({
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    static_resources: { listeners: [probeListener(options)], clusters: probeClusters(options) },
  });
});

afterAll(async () => {
  await envoy.stop();
  for (const server of running) server.close();
});

async function probe(path: string, init: RequestInit = {}): Promise<number> {
  const response = await fetch(`${envoy.url('curfew_probes')}${path}`, { redirect: 'manual', ...init });
  await response.arrayBuffer();
  return response.status;
}

describe("Envoy's probe port", () => {
  it('asks the application exactly what the probe asked, headers included', async () => {
    seen.length = 0;
    expect(await probe('/a1', { headers: { 'x-probe': 'yes' } })).toBe(200);
    expect(seen).toContain('GET /ready?full=1 yes');
  });

  it('asks in nobody’s name, whoever else than kubelet asks it', async () => {
    seen.length = 0;
    posing.length = 0;
    const names = ['x-auth-subject', 'x_auth_subject', 'x.auth.subject', 'x_api_key', 'x.api.key'];
    const spoofed = Object.fromEntries(names.map((name) => [name, 'root']));
    const steering = { 'x-envoy-retry-on': '5xx', 'x-envoy-max-retries': '5' };
    expect(await probe('/a3', { headers: { ...spoofed, ...steering } })).toBe(500);
    expect(seen).toHaveLength(1);
    expect(posing).toEqual([]);
  });

  it('passes on what the application answers', async () => {
    expect(await probe('/a3')).toBe(500);
    expect(await probe('/a5')).toBe(503);
  });

  it('passes on a redirect without its target, which would not be found here', async () => {
    const response = await fetch(`${envoy.url('curfew_probes')}/a2`, { redirect: 'manual' });
    expect([response.status, response.headers.get('location')]).toEqual([302, null]);
  });

  it('asks by TLS, without verifying, where kubelet would', async () => {
    seen.length = 0;
    expect(await probe('/a4')).toBe(200);
    expect(seen).toContain('https /tls');
  });

  it.each([
    ['/t1', 200, 'a TCP port that is open'],
    ['/t2', 503, 'a TCP port that is closed'],
    ['/g1', 200, 'a gRPC service that is serving'],
    ['/g3', 200, 'a gRPC service whose name no host could have'],
    ['/g2', 503, 'a port that does not speak gRPC'],
  ])('answers %s with %d, for %s', async (path, status) => {
    const settled = async () => ((await probe(path)) === status ? status : undefined);
    expect(await eventually(`${path} is ${status}`, settled)).toBe(status);
  });

  it.each(['/', '/ready/', '/healthz', '/a1/', '/a1/../secret', '/old', '/secret'])(
    'knows no other path, such as %s',
    async (path) => {
      seen.length = 0;
      expect(await probe(path)).toBe(404);
      expect(seen.filter((line) => !line.includes('/grpc.health'))).toEqual([]);
    },
  );

  it.each(['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS'])('answers no %s', async (method) => {
    seen.length = 0;
    expect(await probe('/a1', { method })).toBe(404);
    expect(seen.filter((line) => line.includes('/ready'))).toEqual([]);
  });

  it('lets its connections go when it is told by the path that only kubelet knows', async () => {
    const adminPort = await freePort();
    const drain = { path: '/d1', adminPort };
    const options = {
      listen: { host: '127.0.0.1', port: 0 },
      upstreamHost: '127.0.0.1',
      sourceAddress: '127.0.0.6',
      targets: [],
    };
    const ending = await startEnvoyWith({
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
      static_resources: {
        listeners: [probeListener({ ...options, drain })],
        clusters: probeClusters({ ...options, drain }),
      },
    });
    const connectionAfter = async (path: string): Promise<string | null> => {
      const response = await fetch(`${ending.url('curfew_probes')}${path}`);
      await response.arrayBuffer();
      return response.headers.get('connection');
    };
    expect(await connectionAfter('/ready')).not.toBe('close');
    expect(await connectionAfter('/d1')).toBe('close');
    expect(await connectionAfter('/ready')).toBe('close');
    await ending.stop();
  });

  it('says that Envoy is up', async () => {
    expect(await probe('/ready')).toBe(200);
  });
});

describe("a pod's Envoy configuration", () => {
  it.each(['file-server', 'grpc-with-everything', 'proxied'])('is taken by Envoy for %s', async (name) => {
    const config = envoyConfigOf(injected(podFixture(`${name}.yaml`)), '127.0.0.1');
    const started = await startEnvoyWith(withFreePorts(config) as Record<string, never>);
    expect(started.port('curfew_probes')).toBeGreaterThan(0);
    await started.stop();
  });

  it('names the pod by its address, never by 127.0.0.1, and comes from 127.0.0.6', () => {
    const config = JSON.stringify(envoyConfigOf(injected(podFixture('file-server.yaml')), '10.0.0.7'));
    expect(config).toContain('{"address":"10.0.0.7","port_value":8080}');
    expect(config).toContain('"source_address":{"address":"127.0.0.6","port_value":0}');
    expect(config).not.toContain('192.0.2.1');
    expect(config).not.toContain('$(');
  });
});

/** Only so that tests can run beside each other: every fixed listening port becomes a free one. */
function withFreePorts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withFreePorts);
  if (typeof value !== 'object' || value === null) return value;
  const inner = Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withFreePorts(one)]));
  const port = inner['port_value'];
  return typeof port === 'number' && port >= 19_000 && port <= 19_010 ? { ...inner, port_value: 0 } : inner;
}
