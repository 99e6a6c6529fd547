import { afterEach, describe, expect, it } from 'vitest';
import {
  errorCodes,
  frameFlags,
  frameTypes,
  initialWindow,
  largestWindow,
  settingIds,
} from '../../src/http2/frames.ts';
import { HeaderEncoder } from '../../src/http2/header-encoder.ts';
import { MemoryBudget } from '../../src/http2/memory-budget.ts';
import { Output } from '../../src/http2/output.ts';
import { Sender } from '../../src/http2/sender.ts';
import { collectGarbage } from '../collect-garbage.ts';
import { connectEcho, disconnectEcho } from './connected-echo.ts';
import type { EchoServer } from './echo-server.ts';
import {
  dataFrames,
  headersFrame,
  openFrame,
  pingFrame,
  type RawClient,
  request,
  requestFields,
  resetFrame,
  windowFrame,
} from './raw-client.ts';

let echo: EchoServer;
let client: RawClient;
let budget: MemoryBudget;

async function start(settings: readonly (readonly [number, number])[] = []): Promise<void> {
  budget = new MemoryBudget({ maxSharedBytes: 2_000_000, maxConnectionBytes: 1_000_000, guaranteedBytes: 0 });
  ({ echo, client } = await connectEcho(
    { budget, controlFrameLimit: { burst: 20, perSecond: 0 }, errorLimit: { burst: 10, perSecond: 0 } },
    settings,
  ));
}
afterEach(() => disconnectEcho({ echo, client }));

describe('stream errors', () => {
  const asked = (id: number): Buffer => request(id, 'x', '/never');
  it.each<[name: string, mistake: (id: number) => Buffer]>([
    ['by WINDOW_UPDATE of 0', (id) => Buffer.concat([asked(id), windowFrame(id, 0)])],
    ['by a window above 2^31 - 1', (id) => Buffer.concat([asked(id), windowFrame(id, 2 ** 31 - 1)])],
    ['by a second HEADERS', (id) => Buffer.concat([asked(id), openFrame(id)])],
    ['by DATA after END_STREAM', (id) => Buffer.concat([asked(id), ...dataFrames(id, Buffer.from('y'))])],
    ['by a malformed head', (id) => headersFrame(id, [[':method', 'POST']], frameFlags.endStream)],
  ])('%s end the connection beyond their rate limit', async (_, mistake) => {
    await start();
    for (let count = 0; count < 30; count += 1) client.send(mistake(2 * count + 1));
    await client.closed();
    expect(client.goneAway().map(({ code }) => code)).toEqual([errorCodes.enhanceYourCalm]);
    expect(echo.seen.length).toBeLessThanOrEqual(12);
  });
});

describe('a response whose client does not open its window', () => {
  it('is reset at the second sweep, and other streams go on', async () => {
    await start([[settingIds.initialWindowSize, 0]]);
    client.send(request(1, 'never taken'), request(3, 'taken'));
    await client.handled();
    const [connection] = echo.connections;
    connection?.sweep();
    client.send(windowFrame(3, 100));
    expect(await client.answer(3)).toBe('taken');
    expect(connection?.openStreams).toBe(1);
    connection?.sweep();
    expect(await client.reset(1)).toBe(errorCodes.cancel);
    expect(connection?.openStreams).toBe(0);
    expect(echo.seen[0]?.isReset).toBe(true);
  });
});

describe('responses to a client that does not read', () => {
  const answerBytes = 300_000;
  const ask = (id: number): Buffer => request(id, '', '/', [['x-answer-bytes', String(answerBytes)]]);

  it('are queued within the memory budget, sent when it reads, and reset beyond the budget', async () => {
    await start([[settingIds.initialWindowSize, largestWindow]]);
    client.send(windowFrame(0, largestWindow - initialWindow));
    await client.handled();
    const [socket] = echo.sockets;
    client.socket.pause();
    // All requests arrive in one read, so all responses are made before the socket is found full.
    client.send(Buffer.concat(Array.from({ length: 50 }, (_, index) => ask(2 * index + 1))));
    await expect.poll(() => echo.seen.filter(({ isEnded }) => isEnded).length).toBe(50);
    expect(socket?.writableLength).toBeLessThan(3 * 64 * 1024);
    expect(budget.bytes).toBeGreaterThan(1_000_000 - answerBytes - 1000);
    expect(budget.bytes).toBeLessThanOrEqual(1_000_000);
    client.socket.resume();
    await expect.poll(() => echo.connections[0]?.openStreams).toBe(0);
    await client.handled();
    const ids = echo.seen.map((_, index) => 2 * index + 1);
    const isReset = (id: number): boolean => client.of(id, frameTypes.resetStream).length > 0;
    const whole = ids.filter((id) => !isReset(id));
    expect(whole.length).toBeGreaterThanOrEqual(3);
    for (const id of whole) expect(await client.answer(id)).toHaveLength(answerBytes);
    expect(echo.seen.filter((seen) => seen.isReset)).toHaveLength(50 - whole.length);
    expect(budget.bytes).toBe(0);
  });

  it('are dropped with the connection', async () => {
    await start([[settingIds.initialWindowSize, 0]]);
    client.send(request(1, 'never taken'), request(3, 'never taken'));
    await client.handled();
    expect(budget.bytes).toBeGreaterThan(0);
    client.destroy();
    await expect.poll(() => echo.closed()).toBe(1);
    expect(budget.bytes).toBe(0);
  });
});

it('an early response to a request without a body is not followed by RST_STREAM', async () => {
  await start();
  client.send(headersFrame(1, requestFields('/at-head'), frameFlags.endStream));
  expect(await client.answer(1)).toBe('early');
  await client.handled();
  expect(client.of(1, frameTypes.resetStream)).toEqual([]);
});

it('a closed connection is garbage', async () => {
  await start();
  const connection = new WeakRef(echo.connections[0] ?? {});
  client.send(request(1, 'x'));
  await client.answer(1);
  client.send(Buffer.from('no frame at all'.repeat(3)));
  await client.closed();
  echo.connections.length = 0;
  echo.sockets.length = 0;
  await expect.poll(() => echo.closed()).toBe(1);
  await collectGarbage();
  expect(connection.deref()).toBeUndefined();
});

it('a closed connection keeps no buffers, even while it is referenced', async () => {
  await start();
  const others = [];
  for (let count = 0; count < 50; count += 1) others.push(await connectEcho());
  for (const other of others) {
    other.client.send(request(1, 'x'));
    await other.client.answer(1);
    // The next frame stays incomplete.
    other.client.send(...dataFrames(3, Buffer.alloc(5000)).map((bytes) => bytes.subarray(0, 100)));
  }
  await collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  for (const { connection } of others) connection.destroy();
  await collectGarbage();
  // 32 KiB for output, and 16 KiB for an incomplete frame.
  expect(before - process.memoryUsage().arrayBuffers).toBeGreaterThan(50 * 45 * 1024);
  expect(others.map(({ connection }) => connection.openStreams)).toEqual(others.map(() => 0));
  await Promise.all(others.map(disconnectEcho));
});

it('WINDOW_UPDATE of the connection does not visit streams that wait for their own window', async () => {
  await start([[settingIds.initialWindowSize, 0]]);
  const [socket] = echo.sockets;
  const [connection] = echo.connections;
  if (socket === undefined || connection === undefined) throw new Error('no connection');
  let reads = 0;
  const stream = {
    sendWindow: 0,
    queuedBytes: 0,
    isLocalClosed: false,
    connection,
    queue: undefined as unknown,
    get sendQueue() {
      reads += 1;
      return this.queue;
    },
    set sendQueue(queue: unknown) {
      this.queue = queue;
    },
  };
  const sender = new Sender({
    output: new Output(socket),
    encoder: new HeaderEncoder(new Set()),
    onEndSent: () => {},
    onQueueFull: () => {},
  });
  sender.sendData(stream as never, Buffer.from('waits'));
  const before = reads;
  for (let count = 0; count < 10; count += 1) expect(sender.increaseConnectionWindow(1)).toBeUndefined();
  expect(reads).toBe(before);
});

describe('open requests', () => {
  it('count in the memory budget until they close, and are refused beyond it', async () => {
    budget = new MemoryBudget({ maxSharedBytes: 4 * 512, maxConnectionBytes: 4 * 512, guaranteedBytes: 0 });
    ({ echo, client } = await connectEcho({ budget }));
    client.send(...[1, 3, 5, 7, 9].map((id) => openFrame(id)));
    expect(await client.reset(9)).toBe(errorCodes.refusedStream);
    expect(budget.bytes).toBe(4 * 512);
    client.send(resetFrame(1, errorCodes.cancel), ...dataFrames(3, Buffer.from('x')), request(11, 'y'));
    expect(await client.answer(11)).toBe('y');
    await client.handled();
    expect(budget.bytes).toBe(2 * 512);
    client.destroy();
    await expect.poll(() => echo.closed()).toBe(1);
    expect(budget.bytes).toBe(0);
  });

  it('that are refused for lack of memory are not charged to their client', async () => {
    budget = new MemoryBudget({ maxSharedBytes: 1, maxConnectionBytes: 1, guaranteedBytes: 0 });
    ({ echo, client } = await connectEcho({ budget, controlFrameLimit: { burst: 5, perSecond: 0 } }));
    for (let id = 1; id < 61; id += 2) client.send(request(id, 'x'));
    expect(await client.reset(59)).toBe(errorCodes.refusedStream);
    await client.handled();
    expect(client.goneAway()).toEqual([]);
  });

  it('may each be followed by one free PING', async () => {
    await start();
    for (let id = 1; id < 100; id += 2) {
      client.send(request(id, 'x'), pingFrame('rtt-time'));
      await client.answer(id);
    }
    expect(client.goneAway()).toEqual([]);
    client.send(...Array.from({ length: 30 }, () => pingFrame('rtt-time')));
    await client.closed();
    expect(client.goneAway()).toHaveLength(1);
  });
});
