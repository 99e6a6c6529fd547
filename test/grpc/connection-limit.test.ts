import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { checkPath } from '../../src/envoy/method-names.ts';
import { authorizationDefinition } from '../envoy/protocol.ts';
import { frame, openFrame, RawClient, request } from '../http2/raw-client.ts';
import { errorCodes, frameTypes, largestStreamId } from '../../src/http2/frames.ts';
import { eventually } from '../processes.ts';
import { startEchoService } from '../envoy/echo-service.ts';
import { startEnvoy, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { allowed, checkMessage, openSocket, startServer, type TestServer } from './grpc-fixture.ts';
import { createTransport, type TransportName } from './transports.ts';

const grpc: [string, string][] = [['content-type', 'application/grpc']];
const body = (() => {
  const message = authorizationDefinition.Check.requestSerialize(checkMessage());
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
})();
const ask = (stream: number): Buffer => request(stream, body, checkPath, grpc);

const clients: RawClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});

async function start(
  bounds: { maxConnections?: number } = {},
  transportName: TransportName = 'tcp',
): Promise<TestServer> {
  const transport = createTransport(transportName);
  const running = await startServer(() => allowed(), { engine: 'native', transport, bounds });
  onTestFinished(async () => running.server.stop());
  return running;
}

async function connect(running: TestServer): Promise<RawClient> {
  const client = await RawClient.over(openSocket(running));
  clients.push(client);
  return client;
}

/** A client that has sent the preface, and has had one ping answered. */
async function idleClient(running: TestServer): Promise<RawClient> {
  const client = await connect(running);
  client.hello();
  await client.handled();
  return client;
}

async function startEnvoyBefore(running: TestServer): Promise<RunningEnvoy> {
  const echo = await startEchoService();
  onTestFinished(echo.stop);
  const upstream = { host: '127.0.0.1', port: echo.port, protocol: 'http1' } as const;
  const envoy = await startEnvoy({
    authorizer: running.server.boundAddress(),
    services: [{ name: 'orders', listen: { host: '127.0.0.1', port: 0 }, upstream }],
  });
  onTestFinished(envoy.stop);
  return envoy;
}

const statusFrom = async (envoy: RunningEnvoy): Promise<number> => (await fetch(envoy.url('orders'))).status;

// The native engine alone: grpc-js doesn't say which of its connections is idle, so it refuses the newcomer.
describe.each(['tcp', 'mtls'] as const)('beyond the limit of connections over %s', (transport) => {
  it('the one that has been idle for the longest gets GOAWAY and goes, and the newcomer is served', async () => {
    const running = await start({ maxConnections: 3 }, transport);
    const [first, second, third] = [
      await idleClient(running),
      await idleClient(running),
      await idleClient(running),
    ];
    first.send(ask(1));
    await first.answer(1);
    const fourth = await idleClient(running);
    const payload = await second.waitFor(
      'the ping that follows GOAWAY',
      () => second.of(0, frameTypes.ping).find(({ flags }) => flags === 0)?.payload,
    );
    // A request that was on its way is answered.
    second.send(ask(1), frame(frameTypes.ping, 1, 0, payload));
    await second.answer(1);
    await second.closed();
    expect(second.goneAway()).toEqual([
      { last: largestStreamId, code: errorCodes.noError },
      { last: 1, code: errorCodes.noError },
    ]);
    for (const client of [first, third, fourth]) {
      client.send(ask(3));
      await client.answer(3);
      expect(client.goneAway()).toEqual([]);
    }
  });

  it('a client that has not said hello is idle from the start', async () => {
    const running = await start({ maxConnections: 2 }, transport);
    const silent = await connect(running);
    await silent.waitFor('SETTINGS', () => silent.of(0, frameTypes.settings)[0]);
    const other = await idleClient(running);
    await idleClient(running);
    await silent.closed();
    expect(other.goneAway()).toEqual([]);
  });

  it('no connection with an open request goes; where all have one, the newcomer is refused', async () => {
    const running = await start({ maxConnections: 2 }, transport);
    const busy = [await idleClient(running), await idleClient(running)];
    for (const client of busy) client.send(openFrame(1, checkPath, grpc));
    await Promise.all(busy.map((client) => client.handled()));
    const refused = await connect(running);
    refused.hello();
    await refused.closed();
    expect(busy.flatMap((client) => client.goneAway())).toEqual([]);
  });
});

describe('an Envoy beside a flood of connections', () => {
  it('is not locked out by 511 clients that only answer pings, and another Envoy', async () => {
    const running = await start();
    const first = await startEnvoyBefore(running);
    expect(await statusFrom(first)).toBe(200);
    for (let count = 0; count < 511; count += 1) await idleClient(running);
    const envoy = await startEnvoyBefore(running);
    for (let count = 0; count < 20; count += 1) expect(await statusFrom(envoy)).toBe(200);
    expect(await envoy.stat('cluster.curfew_authorizer.upstream_cx_total')).toBeLessThanOrEqual(1);
    // It was the longest idle one, if anybody had to go, and connects again.
    expect(await statusFrom(first)).toBe(200);
  });

  it('loses no request while others open one connection after the other', async () => {
    const running = await start({ maxConnections: 8 });
    const envoy = await startEnvoyBefore(running);
    expect(await statusFrom(envoy)).toBe(200);
    const over = new AbortController();
    const flood = (async () => {
      // Each may be told to leave before it has its ping answered.
      while (!over.signal.aborted) await idleClient(running).catch(() => {});
    })();
    const statuses: number[] = [];
    const evictions = async (): Promise<number> => envoy.stat('cluster.curfew_authorizer.upstream_cx_total');
    await eventually(
      'the connections of Envoy were closed ten times',
      async () => {
        statuses.push(await statusFrom(envoy));
        return (await evictions()) > 10 || undefined;
      },
      60_000,
    );
    over.abort();
    await flood;
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});
