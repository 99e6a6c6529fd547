import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { checkPath } from '../../src/envoy/method-names.ts';
import { authorizationDefinition } from '../envoy/protocol.ts';
import { frame, openFrame, RawClient, request } from '../http2/raw-client.ts';
import { errorCodes, frameTypes, largestStreamId } from '../../src/http2/frames.ts';
import { eventually } from '../processes.ts';
import { startEchoService } from '../envoy/echo-service.ts';
import { startEnvoy, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { allowed, checkMessage, startServer, type TestServer } from './grpc-fixture.ts';

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

const portOf = ({ target }: TestServer): number => Number(target.split(':')[1]);

async function start(bounds: { maxConnections?: number } = {}): Promise<TestServer> {
  const running = await startServer(() => allowed(), { engine: 'native', bounds });
  onTestFinished(async () => running.server.stop());
  return running;
}

/** A client that has done nothing but say hello, and have one ping answered. */
async function idleClient(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  clients.push(client);
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

describe('beyond the limit of connections', () => {
  it('the one that has been idle for the longest gets GOAWAY and goes, and the newcomer is served', async () => {
    const port = portOf(await start({ maxConnections: 3 }));
    const [first, second, third] = [await idleClient(port), await idleClient(port), await idleClient(port)];
    first.send(ask(1));
    await first.answer(1);
    const fourth = await idleClient(port);
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
    const port = portOf(await start({ maxConnections: 2 }));
    const silent = await RawClient.connect(port);
    clients.push(silent);
    const other = await idleClient(port);
    await idleClient(port);
    await silent.closed();
    expect(other.goneAway()).toEqual([]);
  });

  it('no connection with an open request goes; where all have one, the newcomer is refused', async () => {
    const port = portOf(await start({ maxConnections: 2 }));
    const busy = [await idleClient(port), await idleClient(port)];
    for (const client of busy) client.send(openFrame(1, checkPath, grpc));
    await Promise.all(busy.map((client) => client.handled()));
    const refused = await RawClient.connect(port);
    refused.hello();
    await refused.closed();
    expect(busy.flatMap((client) => client.goneAway())).toEqual([]);
  });

  it('511 clients that only answer pings, and one Envoy, do not lock out another Envoy', async () => {
    const running = await start();
    const first = await startEnvoyBefore(running);
    expect(await statusFrom(first)).toBe(200);
    for (let count = 0; count < 511; count += 1) await idleClient(portOf(running));
    const envoy = await startEnvoyBefore(running);
    for (let count = 0; count < 20; count += 1) expect(await statusFrom(envoy)).toBe(200);
    expect(await envoy.stat('cluster.curfew_authorizer.upstream_cx_total')).toBeLessThanOrEqual(1);
    // It was the longest idle one, if anybody had to go, and connects again.
    expect(await statusFrom(first)).toBe(200);
  });

  it('an Envoy loses no request while others open one connection after the other', async () => {
    const running = await start({ maxConnections: 8 });
    const envoy = await startEnvoyBefore(running);
    expect(await statusFrom(envoy)).toBe(200);
    const over = new AbortController();
    const flood = (async () => {
      // Each may be told to leave before it has its ping answered.
      while (!over.signal.aborted) await idleClient(portOf(running)).catch(() => {});
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
