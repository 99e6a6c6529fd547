import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { UnaryMethod, UnaryReply } from '../../src/grpc/method.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createNativeEngine } from '../../src/grpc/native-engine.ts';
import { defaultBounds } from '../../src/grpc/server-bounds.ts';
import { createLog } from '../../src/runtime/log.ts';
import { RawClient, request } from '../http2/raw-client.ts';

const message = Buffer.from([0, 0, 0, 0, 3, 1, 2, 3]);
const path = '/test/Call';
const replies: UnaryReply[] = [];
const method: UnaryMethod = {
  kind: 'unary',
  path,
  decode: () => undefined,
  answer: (_, reply) => replies.push(reply),
};
let server: Server;
let port: number;
let open = 0;

beforeEach(async () => {
  replies.length = 0;
  const engine = createNativeEngine({
    methods: new Map([[path, method]]),
    bounds: { ...defaultBounds, maxConnections: 2, maxLeaving: 2 },
    isTcp: false,
    isTls: false,
    clock: systemClock,
    log: createLog({ program: 'test', level: 'silent' }),
  });
  server = createServer((socket) => {
    open += 1;
    socket.on('close', () => (open -= 1));
    socket.on('error', () => {});
    engine.accept(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  ({ port } = address);
});
afterEach(() => server.close());

async function ask(id: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  client.hello();
  client.send(request(id, message, path, [['content-type', 'application/grpc']]));
  return client;
}

it('a connection that has ended holds its place until all memory held for it is released', async () => {
  for (const count of [1, 2]) {
    const client = await ask(1);
    await expect.poll(() => replies.length).toBe(count);
    client.destroy();
    await expect.poll(() => open).toBe(0);
  }
  await (await ask(1)).closed();
  expect(replies).toHaveLength(2);
  replies[0]?.send(message);
  const client = await ask(1);
  await expect.poll(() => replies.length).toBe(3);
  // The other place is still held.
  await (await ask(1)).closed();
  replies[2]?.send(message);
  expect(await client.answer(1)).toHaveLength(message.length);
  client.destroy();
  await expect.poll(() => open).toBe(0);
  replies[1]?.send(message);
  const both = [await ask(1), await ask(1)];
  await expect.poll(() => replies.length).toBe(5);
  for (const each of both) each.destroy();
});

it('clients that do not close when they are told to are cut off beyond a bound', async () => {
  const clients: RawClient[] = [];
  for (let count = 0; count < 10; count += 1) {
    const client = await RawClient.connect(port);
    client.socket.allowHalfOpen = true;
    client.hello();
    await client.handled();
    clients.push(client);
  }
  // Two with a place, and two that are leaving.
  await expect.poll(() => open).toBeLessThanOrEqual(4);
  for (const client of clients) client.destroy();
});
