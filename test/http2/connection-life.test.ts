import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConnectionOptions } from '../../src/http2/connection-options.ts';
import type { Connection } from '../../src/http2/connection.ts';
import {
  errorCodes,
  frameFlags,
  frameTypes,
  initialWindow,
  largestWindow,
  settingIds,
} from '../../src/http2/frames.ts';
import { eventually } from '../processes.ts';
import { connectEcho, disconnectEcho, drainPing } from './connected-echo.ts';
import type { EchoServer } from './echo-server.ts';
import {
  dataFrames,
  frame,
  headerBlock,
  headersFrame,
  openFrame,
  pingFrame,
  type RawClient,
  request,
  requestFields,
  resetFrame,
  settingsFrame,
  windowFrame,
} from './raw-client.ts';

const { cancel, enhanceYourCalm, noError, refusedStream } = errorCodes;
const { endHeaders, endStream } = frameFlags;
const eight = '12345678';

let echo: EchoServer;
let client: RawClient;
let connection: Connection;

async function start(overrides: Partial<ConnectionOptions> = {}): Promise<void> {
  ({ echo, client, connection } = await connectEcho(overrides));
}

beforeEach(() => start());
afterEach(() => disconnectEcho({ echo, client }));

async function restart(overrides: Partial<ConnectionOptions>): Promise<void> {
  await disconnectEcho({ echo, client });
  await start(overrides);
}

describe('a keepalive PING', () => {
  it('is not sent on a closed connection', () => {
    connection.destroy();
    expect(connection.ping()).toBe(false);
    expect(connection.isPingPending).toBe(false);
  });

  it('is pending until it is acknowledged, and not sent again before', async () => {
    expect(connection.isPingPending).toBe(false);
    expect(connection.ping()).toBe(true);
    expect(connection.ping()).toBe(false);
    expect(connection.isPingPending).toBe(true);
    const payload = await drainPing(client);
    client.send(frame(frameTypes.ping, 1, 0, eight), pingFrame(payload.toString('latin1')));
    await client.handled();
    expect(connection.isPingPending).toBe(true);
    client.send(frame(frameTypes.ping, 1, 0, payload));
    await client.handled();
    expect(connection.isPingPending).toBe(false);
    expect(connection.ping()).toBe(true);
    await client.waitFor('another ping', () => client.of(0, 6).filter(({ flags }) => flags === 0)[1]);
    expect(client.goneAway()).toEqual([]);
  });

  it('from the client is acknowledged with its payload', async () => {
    client.send(pingFrame('\x00\xffabcde'), frame(frameTypes.ping, 0xfe, 0, 'no  flag'));
    const answers = await client.waitFor('two answers', () => {
      const [, ...pings] = client.of(0, frameTypes.ping);
      return pings.length === 2 ? pings : undefined;
    });
    expect(answers.map(({ flags, payload }) => [flags, payload.toString()])).toEqual([
      [1, '\x00\xffabcde'],
      [1, 'no  flag'],
    ]);
  });
});

describe('a stream', () => {
  it('times out at the second sweep if its request is incomplete', async () => {
    client.send(openFrame(1), request(3, 'whole', '/never'));
    await client.handled();
    connection.sweep();
    client.send(openFrame(5));
    await client.handled();
    expect(echo.seen.map(({ isTimedOut }) => isTimedOut)).toEqual([false, false, false]);
    connection.sweep();
    // The second request is complete.
    expect(echo.seen.map(({ isTimedOut }) => isTimedOut)).toEqual([true, false, false]);
    connection.sweep();
    expect(echo.seen.map(({ isTimedOut }) => isTimedOut)).toEqual([true, false, true]);
  });

  it('that its client resets is told so, and gets no response', async () => {
    client.send(openFrame(1), request(3, 'waits', '/never'));
    client.send(resetFrame(1, cancel), resetFrame(3, cancel));
    await client.handled();
    expect(echo.seen.map(({ isReset }) => isReset)).toEqual([true, true]);
    expect(connection.openStreams).toBe(0);
    expect(connection.requests).toBe(2);
    expect(client.frames.filter(({ stream }) => stream > 0)).toEqual([]);
  });

  it('that is answered early ignores the rest of its request', async () => {
    client.send(openFrame(1, '/at-head'));
    expect(await client.answer(1)).toBe('early');
    expect(await client.reset(1)).toBe(noError);
    client.send(
      ...dataFrames(1, Buffer.from('late'), false),
      windowFrame(1, 10),
      headersFrame(1, [['x', 'y']], endStream),
      resetFrame(1, cancel),
      request(3, 'next'),
    );
    expect(await client.answer(3)).toBe('next');
    expect(client.of(1, frameTypes.resetStream)).toHaveLength(1);
    expect(client.goneAway()).toEqual([]);
    expect(echo.seen[0]?.body.toString()).toBe('');
    expect(echo.seen[0]?.isReset).toBe(false);
  });

  it('that was closed early is remembered, up to 1024 of them', async () => {
    const ids = Array.from({ length: 1025 }, (_, index) => index * 2 + 1);
    client.send(...ids.map((id) => openFrame(id, '/at-head')));
    await client.answer(2049);
    client.send(...dataFrames(3, Buffer.from('late')));
    await client.handled();
    expect(client.of(3, frameTypes.resetStream)).toHaveLength(1);
    // The first is no longer remembered.
    client.send(...dataFrames(1, Buffer.from('late')));
    await client.handled();
    expect(client.of(1, frameTypes.resetStream).map(({ payload }) => payload.readUInt32BE(0))).toEqual([
      noError,
      errorCodes.streamClosed,
    ]);
    expect(connection.openStreams).toBe(0);
  });

  it('is refused beyond the limit, and accepted again when another has closed', async () => {
    await restart({ maxConcurrentStreams: 2 });
    expect(client.of(0, frameTypes.settings)[0]?.payload.readUInt32BE(2)).toBe(2);
    client.send(openFrame(1), openFrame(3), openFrame(5), ...dataFrames(5, Buffer.from('late')));
    expect(await client.reset(5)).toBe(refusedStream);
    client.send(...dataFrames(1, Buffer.from('one')));
    expect(await client.answer(1)).toBe('one');
    client.send(request(7, 'seven'));
    expect(await client.answer(7)).toBe('seven');
    client.send(...dataFrames(3, Buffer.from('three')));
    expect(await client.answer(3)).toBe('three');
    expect(echo.seen).toHaveLength(3);
    expect(connection.openStreams).toBe(0);
  });

  it('is refused when its header list is too large, whose fields enter the table all the same', async () => {
    await restart({ headerBounds: { maxListBytes: 1000, maxFields: 20 } });
    const large = headerBlock([...requestFields(), ['x-large', 'y'.repeat(1000)]]);
    const kept = headerBlock([['x-kept', 'value']], true);
    client.send(frame(frameTypes.headers, endHeaders, 1, Buffer.concat([large, kept])));
    expect(await client.reset(1)).toBe(enhanceYourCalm);
    // 62 is the first index of the dynamic table.
    const block = Buffer.concat([headerBlock(requestFields()), Buffer.from([0x80 + 62])]);
    client.send(
      ...dataFrames(1, Buffer.from('late')),
      frame(frameTypes.headers, endHeaders | endStream, 3, block),
    );
    await client.answer(3);
    expect(echo.seen.map(({ head }) => head.headers.get('x-kept'))).toEqual(['value']);
  });
});

describe('the end of a connection is reported once, and resets its open streams,', () => {
  it.each<[name: string, end: () => void]>([
    ['when its client sends FIN', () => client.end()],
    ['when its client sends RST', () => client.socket.resetAndDestroy()],
    ['when it is destroyed', () => connection.destroy()],
    ['after an error', () => client.send(windowFrame(0, 0))],
    [
      'after an error, followed by more frames and FIN',
      () => {
        client.send(windowFrame(0, 0), windowFrame(0, 0), pingFrame(eight));
        client.end();
      },
    ],
  ])('%s', async (_, end) => {
    client.send(openFrame(1), request(3, 'waits', '/never'), request(5, 'over'));
    await client.answer(5);
    end();
    await client.closed();
    await eventually('the server knows', () => echo.closed() > 0 || undefined);
    const [socket] = echo.sockets;
    if (socket?.closed === false) await once(socket, 'close');
    connection.destroy();
    connection.drain();
    expect(echo.closed()).toBe(1);
    expect(connection.openStreams).toBe(0);
    expect(echo.seen.map(({ isReset }) => isReset)).toEqual([true, true, false]);
  });

  it('after an error, even if the client keeps its side open', async () => {
    client.socket.allowHalfOpen = true;
    const before = performance.now();
    client.send(windowFrame(0, 0));
    await client.waitFor('GOAWAY', () => client.goneAway()[0]);
    const [socket] = echo.sockets;
    if (socket?.closed === false) await once(socket, 'close');
    expect(performance.now() - before).toBeGreaterThan(900);
    expect(client.socket.writableEnded).toBe(false);
    expect(echo.closed()).toBe(1);
  });
});

it('a client that sends FIN and does not read is cut off after the close timeout', async () => {
  client.send(settingsFrame([[settingIds.initialWindowSize, largestWindow]]));
  client.send(windowFrame(0, largestWindow - initialWindow));
  await client.handled();
  const [socket] = echo.sockets;
  if (socket === undefined) throw new Error('no socket');
  client.socket.pause();
  for (let count = 1; socket.writableLength === 0 && count < 10_000; count += 1) {
    client.send(request(2 * count + 1, '', '/', [['x-answer-bytes', '16000']]));
    await expect.poll(() => echo.seen.length, { interval: 1 }).toBe(count);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(socket.isPaused()).toBe(false);
  client.end();
  await expect.poll(() => echo.closed()).toBe(1);
  expect(socket.writableLength).toBeGreaterThan(0);
  if (!socket.closed) await once(socket, 'close');
}, 20_000);

describe('SETTINGS', () => {
  it('are acknowledged each time', async () => {
    client.send(settingsFrame([]), settingsFrame([[settingIds.headerTableSize, 0]]));
    await client.handled();
    expect(client.of(0, frameTypes.settings).map(({ flags }) => flags)).toEqual([0, 1, 1, 1]);
  });

  it('of the header table size are obeyed', async () => {
    client.send(request(1, 'with'));
    await client.answer(1);
    client.send(settingsFrame([[settingIds.headerTableSize, 0]]), request(3, 'without'));
    await client.answer(3);
    const [head, trailers] = client.of(3, frameTypes.headers);
    // RFC 7541 §4.2: a size update comes first; then nothing refers to the dynamic table.
    expect(head?.payload.toString('hex')).toBe('2088');
    expect(trailers?.payload.toString('latin1')).toBe('\0\x08x-status\x04done');
  });

  it('that lower and raise the table size in one frame count as lowered', async () => {
    client.send(
      settingsFrame([
        [settingIds.headerTableSize, 0],
        [settingIds.headerTableSize, 4096],
      ]),
      request(1, 'x'),
    );
    await client.answer(1);
    expect(client.of(1, frameTypes.headers)[0]?.payload.toString('hex')).toBe('2088');
  });
});
