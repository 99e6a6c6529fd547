import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConnectionOptions } from '../../src/http2/connection-options.ts';
import type { Connection } from '../../src/http2/connection.ts';
import {
  errorCodes,
  frameTypes,
  initialWindow,
  largestStreamId,
  largestWindow,
  settingIds,
} from '../../src/http2/frames.ts';
import { connectEcho, disconnectEcho, drainPing } from './connected-echo.ts';
import type { EchoServer } from './echo-server.ts';
import {
  dataFrames,
  frame,
  openFrame,
  type RawClient,
  request,
  resetFrame,
  settingsFrame,
  windowFrame,
} from './raw-client.ts';

const { cancel, noError, protocolError } = errorCodes;
const eight = '12345678';

let echo: EchoServer;
let client: RawClient;
let connection: Connection;

async function start(overrides: Partial<ConnectionOptions> = {}): Promise<void> {
  ({ echo, client, connection } = await connectEcho(overrides));
}

beforeEach(() => start());
afterEach(() => disconnectEcho({ echo, client }));

const goneAway = async (times: number): Promise<unknown> =>
  await client.waitFor(`GOAWAY ${times} times`, () => {
    const gone = client.goneAway();
    return gone.length >= times ? gone : undefined;
  });

describe('draining a connection', () => {
  it('sends GOAWAY twice, the second with the last accepted stream, and ends after the last response', async () => {
    client.send(request(1, 'first'));
    await client.answer(1);
    client.send(openFrame(3));
    await client.handled();
    connection.drain();
    const payload = await drainPing(client);
    expect(client.goneAway()).toEqual([{ last: largestStreamId, code: noError }]);
    // This request was under way, so it is accepted.
    client.send(openFrame(5), frame(frameTypes.ping, 1, 0, payload));
    expect(await goneAway(2)).toEqual([
      { last: largestStreamId, code: noError },
      { last: 5, code: noError },
    ]);
    client.send(...dataFrames(3, Buffer.from('third')));
    expect(await client.answer(3)).toBe('third');
    await client.handled();
    expect(echo.closed()).toBe(0);
    client.send(...dataFrames(5, Buffer.from('fifth')));
    expect(await client.answer(5)).toBe('fifth');
    await client.closed();
    expect(client.goneAway()).toHaveLength(2);
    expect(echo.closed()).toBe(1);
    expect(echo.errors).toEqual([]);
  });

  it('ends an idle connection as soon as the client acknowledges the PING', async () => {
    connection.drain();
    connection.drain();
    const payload = await drainPing(client);
    await client.handled();
    expect(client.isClosed).toBe(false);
    client.send(frame(frameTypes.ping, 1, 0, payload));
    await client.closed();
    expect(client.goneAway().map(({ last }) => last)).toEqual([largestStreamId, 0]);
    expect(client.of(0, frameTypes.ping).filter(({ flags }) => flags === 0)).toHaveLength(1);
  });

  it('does not end after the last response while the PING is not acknowledged', async () => {
    client.send(openFrame(1));
    await client.handled();
    connection.drain();
    const payload = await drainPing(client);
    client.send(...dataFrames(1, Buffer.from('first')), openFrame(3));
    await client.answer(1);
    client.send(frame(frameTypes.ping, 1, 0, payload), ...dataFrames(3, Buffer.from('third')));
    expect(await client.answer(3)).toBe('third');
    await client.closed();
    expect(client.goneAway().map(({ last }) => last)).toEqual([largestStreamId, 3]);
  });

  it('ends when the client resets the last stream', async () => {
    client.send(openFrame(1));
    await client.handled();
    connection.drain();
    client.send(frame(frameTypes.ping, 1, 0, await drainPing(client)));
    await goneAway(2);
    client.send(resetFrame(1, cancel));
    await client.closed();
    expect(echo.seen[0]?.isReset).toBe(true);
  });

  it('waits one second for a client that never acknowledges the PING', async () => {
    client.send(openFrame(1));
    await client.handled();
    const before = performance.now();
    connection.drain();
    // The acknowledgement of another PING does not count.
    client.send(frame(frameTypes.ping, 1, 0, eight));
    expect(await goneAway(2)).toEqual([
      { last: largestStreamId, code: noError },
      { last: 1, code: noError },
    ]);
    expect(performance.now() - before).toBeGreaterThan(900);
    client.send(...dataFrames(1, Buffer.from('still')));
    expect(await client.answer(1)).toBe('still');
    await client.closed();
  });

  it('ignores requests after the final GOAWAY, whose last stream id never grows', async () => {
    client.send(openFrame(1));
    await client.handled();
    connection.drain();
    client.send(frame(frameTypes.ping, 1, 0, await drainPing(client)));
    await goneAway(2);
    client.send(openFrame(3), ...dataFrames(3, Buffer.from('late')), request(5, 'later'));
    await client.handled();
    expect(echo.seen).toHaveLength(1);
    expect(client.frames.filter(({ stream }) => stream > 1)).toEqual([]);
    // RFC 9113 §6.8.
    client.send(windowFrame(0, 0));
    expect(await goneAway(3)).toEqual([
      { last: largestStreamId, code: noError },
      { last: 1, code: noError },
      { last: 1, code: protocolError },
    ]);
    await client.closed();
  });

  it('ends the connection for an error meanwhile', async () => {
    connection.drain();
    client.send(windowFrame(0, 0));
    await client.closed();
    expect(client.goneAway()).toEqual([
      { last: largestStreamId, code: noError },
      { last: 0, code: protocolError },
    ]);
    expect(echo.closed()).toBe(1);
  });
});

describe('a client that reads slowly still gets its responses before the connection closes', () => {
  // Each response is a single frame.
  const answerBytes = 16_000;

  it.each<[name: string, isDone: (requests: number) => boolean]>([
    [
      'when the socket holds so much that the server has stopped reading from it',
      () => echo.sockets[0]?.isPaused() ?? true,
    ],
    ['when the kernel has taken everything', (requests) => requests === 60],
  ])('%s', async (_, isDone) => {
    client.send(settingsFrame([[settingIds.initialWindowSize, largestWindow]]));
    client.send(windowFrame(0, largestWindow - initialWindow));
    await client.handled();
    client.socket.pause();
    let requests = 0;
    for (; !isDone(requests); requests += 1) {
      client.send(request(2 * requests + 1, '', '/', [['x-answer-bytes', String(answerBytes)]]));
      await expect.poll(() => echo.seen.length, { interval: 1 }).toBe(requests + 1);
    }
    expect(connection.openStreams).toBe(0);
    connection.drain();
    await expect.poll(() => echo.closed(), { timeout: 5000 }).toBe(1);
    // Longer than the close timeout after an error.
    await setTimeout(1500);
    client.send(windowFrame(0, 1));
    await setTimeout(100);
    client.socket.resume();
    await client.closed();
    for (let index = 0; index < requests; index += 1)
      expect(await client.answer(2 * index + 1)).toHaveLength(answerBytes);
    expect(client.goneAway()).toHaveLength(2);
    await expect.poll(() => echo.sockets[0]?.destroyed).toBe(true);
  });
});
