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

describe('a connection that is drained', () => {
  it('says so, then what it has taken, and ends with the last answer', async () => {
    client.send(request(1, 'first'));
    await client.answer(1);
    client.send(openFrame(3));
    await client.handled();
    connection.drain();
    const payload = await drainPing(client);
    expect(client.goneAway()).toEqual([{ last: largestStreamId, code: noError }]);
    // It was under way, so it is taken.
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

  it('ends at once where nothing is open, though not before the ping is answered', async () => {
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

  it('does not end with the last answer while the ping is not answered', async () => {
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

  it('ends with the reset of the last stream, too', async () => {
    client.send(openFrame(1));
    await client.handled();
    connection.drain();
    client.send(frame(frameTypes.ping, 1, 0, await drainPing(client)));
    await goneAway(2);
    client.send(resetFrame(1, cancel));
    await client.closed();
    expect(echo.seen[0]?.isReset).toBe(true);
  });

  it('does not wait for long for a client that never answers the ping', async () => {
    client.send(openFrame(1));
    await client.handled();
    const before = performance.now();
    connection.drain();
    // Another answer is not the one.
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

  it('passes over requests after that, and says no more than it has', async () => {
    client.send(openFrame(1));
    await client.handled();
    connection.drain();
    client.send(frame(frameTypes.ping, 1, 0, await drainPing(client)));
    await goneAway(2);
    client.send(openFrame(3), ...dataFrames(3, Buffer.from('late')), request(5, 'later'));
    await client.handled();
    expect(echo.seen).toHaveLength(1);
    expect(client.frames.filter(({ stream }) => stream > 1)).toEqual([]);
    // RFC 9113 §6.8: the last id must not grow.
    client.send(windowFrame(0, 0));
    expect(await goneAway(3)).toEqual([
      { last: largestStreamId, code: noError },
      { last: 1, code: noError },
      { last: 1, code: protocolError },
    ]);
    await client.closed();
  });

  it('ends for an error while it is drained', async () => {
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

describe('a client that reads slowly gets what it was answered before its connection is closed', () => {
  // One frame each.
  const answerBytes = 16_000;

  it.each<[name: string, isEnough: (asked: number) => boolean]>([
    ['when so much has not left that nothing is read from it', () => echo.sockets[0]?.isPaused() ?? true],
    ['when all has left, though it has not arrived', (asked) => asked === 60],
  ])('%s', async (_, isEnough) => {
    client.send(settingsFrame([[settingIds.initialWindowSize, largestWindow]]));
    client.send(windowFrame(0, largestWindow - initialWindow));
    await client.handled();
    client.socket.pause();
    let asked = 0;
    for (; !isEnough(asked); asked += 1) {
      client.send(request(2 * asked + 1, '', '/', [['x-answer-bytes', String(answerBytes)]]));
      await expect.poll(() => echo.seen.length, { interval: 1 }).toBe(asked + 1);
    }
    expect(connection.openStreams).toBe(0);
    connection.drain();
    await expect.poll(() => echo.closed(), { timeout: 5000 }).toBe(1);
    // Longer than a client gets that only has to close.
    await setTimeout(1500);
    client.send(windowFrame(0, 1));
    await setTimeout(100);
    client.socket.resume();
    await client.closed();
    for (let index = 0; index < asked; index += 1)
      expect(await client.answer(2 * index + 1)).toHaveLength(answerBytes);
    expect(client.goneAway()).toHaveLength(2);
    await expect.poll(() => echo.sockets[0]?.destroyed).toBe(true);
  });
});
