import { createServer, type Http2Server } from 'node:http2';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { readCpuTime, readMemory } from '../../bench/accounting.ts';
import { createChooser, drive } from '../../bench/load/driver.ts';
import { readResponse } from '../../bench/load/http1.ts';
import { Latencies, median, quantileOf } from '../../bench/load/latencies.ts';
import type { Load, Target } from '../../bench/load/messages.ts';
import { checkMessage, httpRequest } from '../../bench/load/requests.ts';
import { authorizationDefinition } from '../envoy/protocol.ts';
import { allowed, startServer } from '../grpc/grpc-fixture.ts';
import { deny } from '../../src/check/decision.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const load = (target: Target, overrides: Partial<Load> = {}): Load => ({
  target,
  mix: { hot: 'any', hotTokens: 2 },
  durationMs: 300,
  concurrency: 8,
  ...overrides,
});

async function startHttp(status: number): Promise<{ port: number; seen: string[] }> {
  const seen: string[] = [];
  const server = createHttpServer((request, response) => {
    seen.push(request.headers.authorization ?? '');
    response.writeHead(status, { 'content-length': 2 }).end('ok');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, seen };
}

describe('the load on an HTTP listener', () => {
  it('counts what was answered and carries the chosen tokens in turn', async () => {
    const { port, seen } = await startHttp(200);
    const choose = createChooser({ hot: 'any', hotTokens: 2 }, 0, { hot: 0, cold: 0 });
    const result = await drive(load({ protocol: 'http', port }), ['a', 'b'].map(httpRequest), choose);
    expect(result.allowed).toBe(seen.length);
    expect(result.denied + result.failed).toBe(0);
    expect(new Set(seen)).toEqual(new Set(['Bearer a', 'Bearer b']));
    expect(result.p50).toBeGreaterThan(0);
    expect(result.p999).toBeGreaterThanOrEqual(result.p50);
  });

  it('tells refusals from errors', async () => {
    const refusing = await startHttp(401);
    const failing = await startHttp(503);
    const run = (port: number) => drive(load({ protocol: 'http', port }), [httpRequest('a')], () => 0);
    expect(await run(refusing.port)).toMatchObject({ allowed: 0, failed: 0 });
    expect(await run(failing.port)).toMatchObject({ allowed: 0, denied: 0 });
  });

  it('sends at the asked rate', async () => {
    const { port } = await startHttp(200);
    const paced = load({ protocol: 'http', port }, { ratePerSecond: 200, durationMs: 500 });
    const result = await drive(paced, [httpRequest('a')], () => 0);
    expect(result.allowed + result.failed).toBe(100);
  });

  it('counts requests on a lost connection as failed and ends', async () => {
    const server = createHttpServer((request) => request.socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const result = await drive(load({ protocol: 'http', port }), [httpRequest('a')], () => 0);
    expect(result.allowed).toBe(0);
    expect(result.failed).toBeGreaterThan(0);
  });
});

describe('the load on a gRPC server', () => {
  it('is understood by the authorizer, and reads its answers', async () => {
    const decisions = [allowed(), deny('revoked')];
    let asked = 0;
    const { server, decisions: made } = await startServer(() => {
      asked += 1;
      return decisions[asked % 2] ?? allowed();
    });
    closers.push(() => server.stop());
    const address = server.boundAddress();
    const port = address.kind === 'tcp' ? address.port : 0;
    const result = await drive(load({ protocol: 'grpc', port }), [checkMessage('a')], () => 0);
    expect(result.failed).toBe(0);
    expect(result.allowed + result.denied).toBe(made.length);
    expect(Math.abs(result.allowed - result.denied)).toBeLessThanOrEqual(1);
  });

  it('keeps within the flow-control window of a server that opens none', async () => {
    const server: Http2Server = createServer({ settings: { initialWindowSize: 65_535 } });
    let received = 0;
    server.on('stream', (stream) => {
      stream.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      stream.on('end', () => {
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(Buffer.from([0, 0, 0, 0, 2, 0x0a, 0x00]));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const big = Buffer.alloc(10_000);
    const options = { concurrency: 32, maxRequests: 100, durationMs: 15_000 };
    const result = await drive(load({ protocol: 'grpc', port }, options), [big], () => 0);
    expect(received).toBeGreaterThanOrEqual(100 * 10_005);
    expect(result.failed).toBe(0);
    expect(result.allowed).toBe(received / 10_005);
  });

  it('sends the message that Envoy would', () => {
    const message = authorizationDefinition.Check.requestDeserialize(checkMessage('token'));
    expect(message.attributes?.request?.http?.headers?.['authorization']).toBe('Bearer token');
    expect(message.attributes?.contextExtensions?.['curfew.scopes']).toBe('read');
    expect(checkMessage('x'.repeat(741)).length).toBeGreaterThan(1600);
  });
});

describe('a response', () => {
  it('is read only when it has arrived whole', () => {
    const whole = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nserver: envoy\r\n\r\nok';
    expect(readResponse(whole)).toBe('allowed');
    expect(readResponse(whole.slice(0, -1))).toBeUndefined();
    expect(readResponse(whole.slice(0, 30))).toBeUndefined();
    expect(readResponse('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')).toBe('denied');
  });
});

describe('the choice of tokens', () => {
  it('takes the asked share of cold ones and cycles through all of them', () => {
    const choose = createChooser({ hot: 'a', hotTokens: 3, cold: 'b', coldOfTen: 1 }, 4, { hot: 0, cold: 0 });
    const chosen = Array.from({ length: 40 }, choose);
    expect(chosen.filter((index) => index >= 3)).toHaveLength(4);
    expect(new Set(chosen)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
  });
});

describe('figures', () => {
  it('are exact quantiles, also of more values than were expected', () => {
    const latencies = new Latencies();
    for (let value = 100_000; value > 0; value -= 1) latencies.add(value);
    expect(latencies.summary()).toMatchObject({ p50: 50_000, p99: 99_000, p999: 99_900, max: 100_000 });
    expect(latencies.summary().slowest).toEqual(Array.from({ length: 50 }, (_, index) => 99_951 + index));
    expect(quantileOf(Float64Array.of(1, 2, 3), 0.01)).toBe(1);
    expect(median([4, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it('come from the accounts of the kernel', () => {
    const before = readCpuTime(process.pid).usedUs;
    const until = performance.now() + 60;
    while (performance.now() < until);
    expect(readCpuTime(process.pid).usedUs - before).toBeGreaterThan(5000);
    expect(readMemory(process.pid).residentMb).toBeGreaterThan(20);
  });
});
