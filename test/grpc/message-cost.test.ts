import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { UnaryMethod, UnaryReply } from '../../src/grpc/method.ts';
import { readGrpcRequestHead } from '../../src/grpc/request-head.ts';
import { UnaryStream } from '../../src/grpc/call-streams.ts';
import { MemoryBudget } from '../../src/http2/memory-budget.ts';
import { repeatedLists } from '../../src/grpc/failure.ts';
import { MessageStream } from '../../src/grpc/message-stream.ts';
import { acceptMethod } from './accepted-method.ts';
import { errorCodes, frameTypes, settingIds } from '../../src/http2/frames.ts';
import { collectGarbage } from '../collect-garbage.ts';
import { createEchoServer, type EchoServer } from '../http2/echo-server.ts';
import { dataFrames, openFrame, RawClient, request, resetFrame, type Fields } from '../http2/raw-client.ts';

const path = '/test/Call';
const grpc: Fields = [['content-type', 'application/grpc']];

function framed(message: Buffer, flag = 0): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes[0] = flag;
  bytes.writeUInt32BE(message.length, 1);
  message.copy(bytes, 5);
  return bytes;
}

class TestStream extends MessageStream {
  static readonly all: TestStream[] = [];
  static isLater = false;
  readonly messages: string[] = [];
  protected override onMessage(bytes: Buffer): void {
    this.messages.push(bytes.toString());
    if (!TestStream.isLater) this.send(framed(bytes));
  }
}

let echo: EchoServer;
let port: number;
let clients: RawClient[] = [];
let held: MemoryBudget;

async function start(mostMistakes = 1_000_000, guaranteedBytes = 0): Promise<void> {
  TestStream.all.length = 0;
  TestStream.isLater = false;
  held = new MemoryBudget({ maxSharedBytes: 10_000_000, maxConnectionBytes: 1_000_000, guaranteedBytes });
  echo = createEchoServer({
    repeatedLists,
    budget: held,
    controlFrameLimit: { burst: 1_000_000, perSecond: 0 },
    errorLimit: { burst: mostMistakes, perSecond: 0 },
    createStream: (connection, id, head) => {
      const stream = new TestStream(connection, id, readGrpcRequestHead(head, acceptMethod(path)), 100_000);
      TestStream.all.push(stream);
      return stream;
    },
  });
  port = await echo.listen();
}

async function connect(settings: readonly (readonly [number, number])[] = []): Promise<RawClient> {
  const client = await RawClient.connect(port);
  clients.push(client);
  client.hello(settings);
  await client.handled();
  return client;
}

afterEach(async () => {
  for (const client of clients) client.destroy();
  clients = [];
  vi.restoreAllMocks();
  await echo.stop();
});

it('a compressed message is unpacked as it arrives: no work is left behind for a call that is given up', async () => {
  await start();
  const client = await connect();
  const body = framed(gzipSync('packed'), 1);
  client.send(request(1, body, path, [...grpc, ['grpc-encoding', 'gzip']]), resetFrame(1, errorCodes.cancel));
  await client.handled();
  expect(TestStream.all[0]?.messages).toEqual(['packed']);
});

it('a deadline does not keep the process from ending', async () => {
  await start();
  const client = await connect();
  client.send(openFrame(1, path, [...grpc, ['grpc-timeout', '1H']]));
  await client.handled();
  const timers = vi.spyOn(globalThis, 'setTimeout');
  TestStream.all[0]?.watchDeadline();
  expect(timers.mock.results.map(({ value }) => value.hasRef())).toEqual([false]);
});

describe('a call that was answered while its client takes nothing', () => {
  it('is over: its deadline is not waited for', async () => {
    await start();
    const client = await connect([[settingIds.initialWindowSize, 0]]);
    client.send(request(1, framed(Buffer.from('x')), path, [...grpc, ['grpc-timeout', '99999999H']]));
    await client.handled();
    const [stream] = TestStream.all;
    expect(stream?.isLocalClosed).toBe(false);
    expect(stream?.isOver).toBe(true);
    stream?.reject(4, 'too late');
    const timers = vi.spyOn(globalThis, 'setTimeout');
    stream?.watchDeadline();
    expect(timers).not.toHaveBeenCalled();
  });
});

it('what one connection keeps leaves room for others', async () => {
  await start();
  const [greedy, other] = [await connect(), await connect()];
  const large = framed(Buffer.alloc(60_000, 'a'));
  for (let id = 1; id < 41; id += 2)
    greedy.send(openFrame(id, path, grpc), ...dataFrames(id, large.subarray(0, -1), false));
  await greedy.handled();
  expect(held.bytes).toBeLessThanOrEqual(1_000_000);
  expect(held.bytes).toBeGreaterThan(800_000);
  other.send(openFrame(1, path, grpc), ...dataFrames(1, large.subarray(0, 9), false));
  await other.handled();
  other.send(...dataFrames(1, large.subarray(9)));
  expect(await other.answer(1)).toHaveLength(large.length);
});

describe('messages that are decided later', () => {
  it('count with what they are unpacked to, until they are answered', async () => {
    await start();
    TestStream.isLater = true;
    const client = await connect();
    const packed = framed(gzipSync(Buffer.alloc(90_000, 'a')), 1);
    for (let id = 1; id < 41; id += 2)
      client.send(request(id, packed, path, [...grpc, ['grpc-encoding', 'gzip']]));
    await client.handled();
    const isUnpacked = TestStream.all.map(({ messages }) => messages.length === 1);
    expect(isUnpacked).toEqual(Array.from({ length: 20 }, (_, index) => index < 10));
    expect(held.bytes).toBe(10 * (90_000 + 1024));
    for (const stream of TestStream.all) stream.send(framed(Buffer.from('x')));
    expect(await client.answer(19)).toHaveLength(6);
    expect(held.bytes).toBe(0);
    client.send(request(41, framed(Buffer.alloc(5000)), path, grpc));
    await client.handled();
    expect(held.bytes).toBe(6024);
    client.send(resetFrame(41, errorCodes.cancel));
    await client.handled();
    expect(held.bytes).toBe(0);
  });
});

it('a piece that is kept keeps nothing else', async () => {
  await start();
  const client = await connect();
  await collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  for (let id = 1; id < 200; id += 2) {
    client.send(openFrame(id, path, grpc), ...dataFrames(id, Buffer.from('\0'), false));
    await client.handled();
    // Like other code that takes small buffers from Node's pool, until the pool begins another slab.
    for (let taken = 0; taken < Buffer.poolSize; taken += 1000) Buffer.allocUnsafe(1000);
  }
  expect(held.bytes).toBe(100 * 1025);
  await collectGarbage();
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2_000_000);
});

it('a message that comes in pieces counts as what its length says at most, and as itself once it is whole', async () => {
  await start();
  TestStream.isLater = true;
  const client = await connect();
  const body = framed(Buffer.alloc(33_000));
  client.send(openFrame(1, path, grpc), ...dataFrames(1, body.subarray(0, -1), false));
  await client.handled();
  expect(held.bytes).toBe(2 * 512 + body.length);
  client.send(...dataFrames(1, body.subarray(-1)));
  await client.handled();
  expect(held.bytes).toBe(2 * 512 + 33_000);
  TestStream.all[0]?.send(framed(Buffer.from('x')));
  expect(held.bytes).toBe(0);
});

describe('a client that has its own calls fail', () => {
  const gzip: Fields = [...grpc, ['grpc-encoding', 'gzip']];
  it.each<[name: string, mistake: (id: number) => Buffer]>([
    ['by an unknown method', (id) => request(id, '', '/test/Other', grpc)],
    ['by a request that is not gRPC', (id) => request(id, '', path)],
    ['by less than a message', (id) => request(id, 'x', path, grpc)],
    ['by more than one message', (id) => request(id, Buffer.alloc(20), path, grpc)],
    [
      'by a message larger than the limit',
      (id) => request(id, Buffer.alloc(5, 0xff).fill(0, 0, 1), path, grpc),
    ],
    [
      'by a message that is not compressed as it says',
      (id) => request(id, framed(Buffer.from('x'), 1), path, gzip),
    ],
    [
      'by little that is unpacked to much',
      (id) => request(id, framed(gzipSync(Buffer.alloc(50_000)), 1), path, gzip),
    ],
  ])('%s again and again is sent away', async (_, mistake) => {
    await start(20);
    const client = await connect();
    for (let count = 0; count < 30; count += 1) client.send(mistake(2 * count + 1));
    await client.closed();
    expect(client.goneAway().map(({ code }) => code)).toEqual([errorCodes.enhanceYourCalm]);
    expect(TestStream.all.length).toBeLessThan(25);
    expect(held.bytes).toBe(0);
  });

  it('gets few bytes for each', async () => {
    await start();
    const client = await connect();
    client.send(request(1, '', '/test/Other', grpc), request(3, '', '/test/Other', grpc));
    await client.answer(3);
    const lengths = [1, 3].map((id) => client.of(id, frameTypes.headers)[0]?.payload.length);
    expect(lengths[0]).toBeGreaterThan(50);
    expect(lengths[1]).toBeLessThan(10);
  });
});

describe('a check that is given up before it is decided', () => {
  it.each([
    ['reset by its client', resetFrame(1, errorCodes.cancel)],
    ['with its connection', Buffer.from('no frame at all'.repeat(3))],
  ])('%s counts until then: what was made of it is still there', async (_, end) => {
    await start();
    await echo.stop();
    const replies: UnaryReply[] = [];
    const method: UnaryMethod = {
      kind: 'unary',
      path,
      decode: () => undefined,
      answer: (_, reply) => replies.push(reply),
    };
    echo = createEchoServer({
      budget: held,
      createStream: (connection, id, head) =>
        new UnaryStream(connection, id, readGrpcRequestHead(head, acceptMethod(path)), 100_000, method),
    });
    port = await echo.listen();
    const client = await connect();
    client.send(request(1, framed(Buffer.alloc(50_000)), path, grpc));
    await expect.poll(() => replies.length).toBe(1);
    const whileWaiting = held.bytes;
    expect(whileWaiting).toBe(50_000 + 2 * 512);
    client.send(end);
    await expect.poll(() => echo.connections[0]?.openStreams).toBe(0);
    expect(held.bytes).toBe(50_000 + 512);
    replies[0]?.send(framed(Buffer.from('x')));
    expect(held.bytes).toBe(0);
  });
});
