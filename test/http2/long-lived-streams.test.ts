import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConnectionOptions } from '../../src/http2/connection-options.ts';
import type { Connection } from '../../src/http2/connection.ts';
import { errorCodes, frameTypes, initialWindow, settingIds } from '../../src/http2/frames.ts';
import { ServerStream } from '../../src/http2/server-stream.ts';
import { connectEcho, disconnectEcho, drainPing } from './connected-echo.ts';
import type { EchoServer } from './echo-server.ts';
import { dataFrames, frame, openFrame, type RawClient, resetFrame, windowFrame } from './raw-client.ts';

const { cancel, enhanceYourCalm, flowControlError, internalError, noError } = errorCodes;
const streamWindow = 10_000;

/** A stream that holds what it receives until the test consumes it, and sends what the test sends. */
class LongStream extends ServerStream {
  held = 0;
  readonly events: string[] = [];
  isEstablished = false;

  override get isLongLived(): boolean {
    return this.isEstablished;
  }

  /** Responds with header fields, which makes the stream long-lived. */
  respond(): void {
    this.isEstablished = true;
    this.connection.sendHeaders(this, [[':status', '200']], false);
  }

  consume(bytes: number): void {
    this.held -= bytes;
    this.connection.reopenWindow(this, this.held);
  }

  finish(): void {
    this.connection.sendHeaders(this, [['x-status', 'done']], true);
  }

  override onQueueSent(): void {
    this.events.push('sent');
  }
  onHead(): void {}
  onData(bytes: Buffer): void {
    this.held += bytes.length;
  }
  onEnd(): void {
    this.events.push('end');
  }
  onReset(): void {
    this.events.push('reset');
  }
  onRequestTimeout(): void {
    this.events.push('timeout');
  }
}

let echo: EchoServer;
let client: RawClient;
let connection: Connection;
let streams: LongStream[];

async function start(
  overrides: Partial<ConnectionOptions> = {},
  settings: readonly (readonly [id: number, value: number])[] = [],
): Promise<void> {
  streams = [];
  ({ echo, client, connection } = await connectEcho(
    {
      streamWindow,
      createStream: (host, id) => {
        const stream = new LongStream(host, id);
        streams.push(stream);
        return stream;
      },
      ...overrides,
    },
    settings,
  ));
}

beforeEach(() => start());
afterEach(() => disconnectEcho({ echo, client }));

async function restart(...args: Parameters<typeof start>): Promise<void> {
  await disconnectEcho({ echo, client });
  await start(...args);
}

/** Opens a stream and waits until the server has it. */
async function open(id = 1): Promise<LongStream> {
  client.send(openFrame(id));
  await client.handled();
  const stream = streams.at(-1);
  if (stream === undefined) throw new Error('no stream');
  return stream;
}

const send = (bytes: number, id = 1): void => client.send(...dataFrames(id, Buffer.alloc(bytes), false));
const increments = (id: number): number[] =>
  client.of(id, frameTypes.windowUpdate).map(({ payload }) => payload.readUInt32BE(0));

describe('the receive window of a stream', () => {
  it('is reopened as the stream consumes what it holds, once half of it comes free', async () => {
    const stream = await open();
    send(6000);
    await client.handled();
    stream.consume(4999);
    await client.handled();
    expect(increments(1)).toEqual([]);
    stream.consume(1);
    await client.handled();
    expect(increments(1)).toEqual([5000]);
    send(9000);
    await client.handled();
    expect([stream.held, client.goneAway()]).toEqual([10_000, []]);
  });

  it('stays closed while the stream holds everything, and other streams go on', async () => {
    const paused = await open();
    send(streamWindow);
    const other = await open(3);
    for (let count = 0; count < 20; count += 1) {
      send(streamWindow / 2, 3);
      await client.handled();
      other.consume(streamWindow / 2);
    }
    await client.handled();
    expect([increments(1), increments(3)]).toEqual([[], Array.from({ length: 20 }, () => 5000)]);
    expect(paused.held).toBe(streamWindow);
    send(1);
    expect(await client.reset(1)).toBe(flowControlError);
    expect(paused.events).toEqual(['reset']);
  });

  it('is reopened for padding, too', async () => {
    const stream = await open();
    client.send(...Array.from({ length: 40 }, () => frame(frameTypes.data, 8, 1, Buffer.alloc(250, 248))));
    await client.handled();
    expect(stream.held).toBe(40);
    stream.consume(0);
    await client.handled();
    expect(increments(1)).toEqual([10_000 - 40]);
  });

  it('is not reopened after END_STREAM', async () => {
    const stream = await open();
    client.send(...dataFrames(1, Buffer.alloc(6000)));
    await client.handled();
    stream.consume(6000);
    await client.handled();
    expect([increments(1), stream.events]).toEqual([[], ['end']]);
  });

  it('carries any amount over the life of the stream', async () => {
    const stream = await open();
    for (let sent = 0; sent < 1_000_000; sent += 5000) {
      await client.waitFor('a window', () =>
        streamWindow + increments(1).reduce((sum, each) => sum + each, 0) >= sent + 5000 ? true : undefined,
      );
      send(5000);
      await client.handled();
      stream.consume(stream.held);
    }
    expect(client.goneAway()).toEqual([]);
  });
});

describe('what a stream sends', () => {
  it('is queued while its window is closed, and the stream is notified when the queue is sent', async () => {
    await restart({}, [[settingIds.initialWindowSize, 10]]);
    const stream = await open();
    stream.respond();
    connection.sendData(stream, Buffer.alloc(25));
    await client.handled();
    expect([client.body(1).length, stream.events]).toEqual([10, []]);
    expect(stream.queuedBytes).toBeGreaterThan(15);
    client.send(windowFrame(1, 14));
    await client.handled();
    expect([client.body(1).length, stream.events]).toEqual([24, []]);
    client.send(windowFrame(1, 1));
    await client.handled();
    expect([client.body(1).length, stream.events, stream.queuedBytes]).toEqual([25, ['sent'], 0]);
  });

  it('may go on from the notification, until the window closes again', async () => {
    await restart({}, [[settingIds.initialWindowSize, 0]]);
    const stream = await open();
    stream.respond();
    stream.onQueueSent = () => {
      stream.events.push('sent');
      connection.sendData(stream, Buffer.alloc(10));
    };
    connection.sendData(stream, Buffer.alloc(10));
    for (let count = 1; count <= 50; count += 1) {
      client.send(windowFrame(1, 10));
      await client.handled();
      expect([client.body(1).length, stream.events.length]).toEqual([10 * count, count]);
    }
  });

  it('has no time limit, but its end has', async () => {
    await restart({}, [[settingIds.initialWindowSize, 0]]);
    const stream = await open();
    stream.respond();
    connection.sendData(stream, Buffer.from('waits'));
    for (let count = 0; count < 10; count += 1) connection.sweep();
    expect(stream.events.filter((event) => event !== 'timeout')).toEqual([]);
    stream.finish();
    stream.isEstablished = false;
    stream.queuedAtSweep = connection.sweeps;
    connection.sweep();
    await client.handled();
    expect(client.resetCode(1)).toBeUndefined();
    connection.sweep();
    expect(await client.reset(1)).toBe(cancel);
  });
});

describe('a reset', () => {
  it('by the client is free once the stream is long-lived, and charged before', async () => {
    await restart({ controlFrameLimit: { burst: 20, perSecond: 0 } });
    for (let id = 1; id < 201; id += 2) {
      const stream = await open(id);
      stream.respond();
      client.send(resetFrame(id, cancel));
    }
    await client.handled();
    expect([connection.openStreams, client.goneAway()]).toEqual([0, []]);
    expect(streams.map(({ events }) => events)).toEqual(streams.map(() => ['reset']));
    for (let id = 201; id < 251; id += 2) client.send(openFrame(id), resetFrame(id, cancel));
    await client.closed();
    expect(client.goneAway().map(({ code }) => code)).toEqual([enhanceYourCalm]);
    expect(streams.length).toBeLessThan(125);
  });

  it('by the server drops what is queued, and is reported once', async () => {
    const stream = await open();
    stream.respond();
    connection.sendData(stream, Buffer.alloc(initialWindow + 1));
    connection.resetStream(stream, internalError);
    connection.resetStream(stream, internalError);
    expect(await client.reset(1)).toBe(internalError);
    client.send(windowFrame(0, 100), windowFrame(1, 100));
    await client.handled();
    expect(client.of(1, frameTypes.resetStream)).toHaveLength(1);
    expect([stream.events, connection.openStreams, echo.budget.bytes]).toEqual([['reset'], 0, 0]);
  });
});

describe('long-lived streams', () => {
  it('stay half open: the client ends, and the server goes on', async () => {
    const stream = await open();
    client.send(...dataFrames(1, Buffer.from('x')));
    stream.respond();
    await client.handled();
    expect(stream.events).toEqual(['end']);
    connection.sendData(stream, Buffer.from('later'));
    stream.finish();
    expect(await client.answer(1)).toBe('later');
    expect(client.resetCode(1)).toBeUndefined();
  });

  it('stay half open: the server ends, and the rest of the request is ignored', async () => {
    const stream = await open();
    stream.respond();
    stream.finish();
    await client.answer(1);
    expect(await client.reset(1)).toBe(noError);
    send(100);
    await client.handled();
    expect([stream.held, client.goneAway()]).toEqual([0, []]);
  });

  it('count as open streams', async () => {
    await restart({ maxConcurrentStreams: 2 });
    (await open(1)).respond();
    (await open(3)).respond();
    client.send(openFrame(5));
    expect(await client.reset(5)).toBe(errorCodes.refusedStream);
  });

  it('keep a drained connection open until the last has ended', async () => {
    const stream = await open();
    stream.respond();
    connection.drain();
    client.send(frame(frameTypes.ping, 1, 0, await drainPing(client)));
    await client.handled();
    connection.sendData(stream, Buffer.from('still'));
    await client.handled();
    expect([client.body(1).toString(), client.isClosed]).toEqual(['still', false]);
    stream.finish();
    await client.closed();
  });
});
