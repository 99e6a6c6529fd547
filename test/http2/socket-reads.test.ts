import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorCodes, frameTypes, settingIds } from '../../src/http2/frames.ts';
import { readIntoBuffer } from '../../src/http2/socket-reads.ts';
import { eventually } from '../processes.ts';
import { createEchoServer, type EchoServer } from './echo-server.ts';
import { RawClient, request, resetFrame, openFrame, windowFrame, frame } from './raw-client.ts';

describe.each([
  ['into the shared buffer', false, 0],
  ['with the data event', true, 1],
])('a connection that is read %s', (_, hidesInternals, listeners) => {
  let echo: EchoServer;
  let clients: RawClient[];

  beforeEach(async () => {
    echo = createEchoServer({}, { hidesInternals });
    const port = await echo.listen();
    clients = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(port)));
    // The kernel accepts a connection before Node does.
    await eventually('all are accepted', () => echo.connections.length === 5 || undefined);
  });
  afterEach(async () => {
    for (const client of clients) client.destroy();
    await echo.stop();
  });

  const one = (): RawClient => {
    const [client] = clients;
    if (client === undefined) throw new Error('no client');
    return client;
  };

  it('is in the mode under test', async () => {
    for (const client of clients) client.hello();
    await Promise.all(clients.map((client) => client.handled()));
    // Reading into the shared buffer needs no `data` listener.
    expect(echo.sockets.map((socket) => socket.listenerCount('data'))).toEqual(clients.map(() => listeners));
  });

  it.each([1, 3, 10, 100, 16_393])('reads a request that arrives in pieces of %i bytes', async (size) => {
    one().hello();
    await one().handled();
    const bytes = Buffer.concat([request(1, 'x'.repeat(Math.min(20_000, size * 50))), request(3, 'three')]);
    for (let at = 0; at < bytes.length; at += size) {
      one().send(bytes.subarray(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await one().answer(1)).toHaveLength(Math.min(20_000, size * 50));
    expect(await one().answer(3)).toBe('three');
  });

  it('does not mix its frames with those of others that arrive in pieces', async () => {
    const body = (index: number): string => String(index).repeat(3000);
    for (const client of clients) client.hello();
    await Promise.all(clients.map((client) => client.handled()));
    const bytes = clients.map((_, index) =>
      Buffer.concat([request(1, body(index)), request(3, body(index + 5))]),
    );
    const longest = Math.max(...bytes.map(({ length }) => length));
    // Each piece is read before another connection sends its next one.
    for (let at = 0; at < longest; at += 400)
      for (const [index, client] of clients.entries()) {
        client.send(bytes[index]?.subarray(at, at + 400) ?? Buffer.alloc(0));
        await new Promise((resolve) => setImmediate(resolve));
      }
    const answers = await Promise.all(
      clients.map(async (client) => [await client.answer(1), await client.answer(3)]),
    );
    expect(answers).toEqual(clients.map((_, index) => [body(index), body(index + 5)]));
  });

  it('answers large bodies through small windows', async () => {
    one().hello([[settingIds.initialWindowSize, 1000]]);
    const body = 'abcdefghij'.repeat(10_000);
    one().send(request(1, body), windowFrame(0, 100_000));
    for (let opened = 1000; opened < body.length; opened += 9900) one().send(windowFrame(1, 9900));
    expect(await one().answer(1)).toBe(body);
  });

  it('ends for an error, with its streams', async () => {
    one().hello();
    one().send(openFrame(1), openFrame(3), resetFrame(1, errorCodes.cancel));
    await one().handled();
    one().send(frame(frameTypes.data, 0, 5, 'x'));
    await one().closed();
    expect(one().goneAway()).toEqual([{ last: 3, code: errorCodes.protocolError }]);
    expect(echo.seen.map(({ isReset }) => isReset)).toEqual([true, true]);
    expect(echo.closed()).toBe(1);
  });

  it.each([
    ['sends FIN', (client: RawClient) => client.end()],
    ['sends RST', (client: RawClient) => client.socket.resetAndDestroy()],
  ])('ends when its client %s', async (_, end) => {
    one().hello();
    one().send(openFrame(1));
    await one().handled();
    end(one());
    await one().closed();
    await eventually('the server knows', () => echo.closed() === 1 || undefined);
    expect(echo.connections.map(({ openStreams }) => openStreams)).toEqual(clients.map(() => 0));
  });
});

it('a connection with much to read does not hold up others', async () => {
  const order: string[] = [];
  const shared = Buffer.allocUnsafeSlow(1024);
  const sockets: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const [much, little] = [connect(port), connect(port)];
  await expect.poll(() => sockets.length).toBe(2);
  const isMuch = (socket: Socket): boolean => socket.remotePort === much.localPort;
  much.write(Buffer.alloc(100 * shared.length));
  little.write('x');
  // Until the kernel has received everything.
  await setTimeout(100);
  for (const socket of sockets.toSorted((one) => (isMuch(one) ? -1 : 1)))
    readIntoBuffer(socket, shared, (bytes) =>
      order.push(
        ...Array.from({ length: Math.ceil(bytes.length / shared.length) }, () =>
          isMuch(socket) ? 'much' : 'little',
        ),
      ),
    );
  await expect.poll(() => order.length).toBe(101);
  expect(order.indexOf('little')).toBeLessThan(10);
  for (const socket of [much, little, ...sockets]) socket.destroy();
  server.close();
});
