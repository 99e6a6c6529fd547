import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorCodes, frameFlags, frameTypes, settingIds } from '../../src/http2/frames.ts';
import type { EchoServer } from './echo-server.ts';
import {
  dataFrames,
  frame,
  headerBlock,
  headersFrame,
  type RawClient,
  request,
  requestFields,
  resetFrame,
  settingsFrame,
  windowFrame,
} from './raw-client.ts';
import { beginThree, after, fresh, open, closed, streamWindow, waiting } from './three-streams.ts';

const { protocolError, flowControlError, streamClosed } = errorCodes;
const { data, headers, priority, resetStream, ping, goAway, continuation } = frameTypes;
const { endStream, endHeaders, padded } = frameFlags;
const largest = 2 ** 31 - 1;
const block = headerBlock(requestFields());
const eight = '12345678';

let echo: EchoServer;
let client: RawClient;

beforeEach(async () => {
  [echo, client] = await beginThree();
});
afterEach(async () => {
  client.destroy();
  await echo.stop();
});

const shortHead = requestFields('/', [['content-length', '10']]);
const withField = (name: string, value: string): Buffer => request(fresh, '', '/', [[name, value]]);
const without = (name: string): Buffer =>
  headersFrame(
    fresh,
    requestFields().filter((field) => field[0] !== name),
    endStream,
  );

describe('a stream ends, and its connection goes on, after', () => {
  it.each<[name: string, stream: number, code: number, bytes: Buffer[]]>([
    ['a window update of nothing', open, protocolError, [windowFrame(open, 0)]],
    ['a window larger than can be', open, flowControlError, [windowFrame(open, largest)]],
    ['a window larger than can be for an answer', waiting, flowControlError, [windowFrame(waiting, largest)]],
    ['data after the end', waiting, streamClosed, [frame(data, 0, waiting, 'x')]],
    ['trailers after the end', waiting, streamClosed, [headersFrame(waiting, [['x', 'y']], endStream)]],
    ['a request after the end', waiting, streamClosed, [headersFrame(waiting, requestFields(), endStream)]],
    ['data after the answer', closed, streamClosed, [frame(data, endStream, closed, 'x')]],
    [
      'data after its own reset',
      open,
      streamClosed,
      [resetFrame(open, errorCodes.cancel), frame(data, 0, open, 'x')],
    ],
    [
      'more data than was announced',
      fresh,
      protocolError,
      [headersFrame(fresh, shortHead, 0), frame(data, endStream, fresh, '12345678901')],
    ],
    [
      'more data than was announced, at last',
      fresh,
      protocolError,
      [
        headersFrame(fresh, shortHead, 0),
        frame(data, 0, fresh, '1234567890'),
        frame(data, endStream, fresh, '1'),
      ],
    ],
    [
      'less data than was announced',
      fresh,
      protocolError,
      [headersFrame(fresh, shortHead, 0), frame(data, endStream, fresh, '123456789')],
    ],
    [
      'less data than was announced, and padding',
      fresh,
      protocolError,
      [headersFrame(fresh, shortHead, 0), frame(data, endStream | padded, fresh, '\x01123456789\0')],
    ],
    ['no data where some was announced', fresh, protocolError, [headersFrame(fresh, shortHead, endStream)]],
    [
      'trailers before all announced data',
      fresh,
      protocolError,
      [
        headersFrame(fresh, shortHead, 0),
        frame(data, 0, fresh, '123456789'),
        headersFrame(fresh, [['x', 'y']], endStream),
      ],
    ],
    ['trailers without an end', open, protocolError, [headersFrame(open, [['x', 'y']], 0)]],
    ['trailers with a pseudo field', open, protocolError, [headersFrame(open, [[':path', '/']], endStream)]],
    ['trailers with capitals', open, protocolError, [headersFrame(open, [['X', 'y']], endStream)]],
    [
      'trailers of the connection',
      open,
      protocolError,
      [headersFrame(open, [['connection', 'close']], endStream)],
    ],
    [
      'more data than its window allows',
      open,
      flowControlError,
      dataFrames(open, Buffer.alloc(streamWindow - 3)),
    ],
    [
      'more padding than its window allows',
      open,
      flowControlError,
      Array.from({ length: 100 }, () => frame(data, padded, open, Buffer.alloc(202, 200))),
    ],
    ['a request without a method', fresh, protocolError, [without(':method')]],
    ['a request without a scheme', fresh, protocolError, [without(':scheme')]],
    ['a request without a path', fresh, protocolError, [without(':path')]],
    ['a request of nothing', fresh, protocolError, [frame(headers, 5, fresh)]],
    ['a name with capitals', fresh, protocolError, [withField('X-Name', 'y')]],
    ['a field of the connection', fresh, protocolError, [withField('connection', 'close')]],
    ['an unknown pseudo field', fresh, protocolError, [withField(':status', '200')]],
    ['a length that is no number', fresh, protocolError, [withField('content-length', '-1')]],
    ['an encoding of transfers', fresh, protocolError, [withField('te', 'gzip')]],
  ])('%s', async (_, stream, code, bytes) => {
    client.send(...bytes, request(after, 'after'));
    expect(await client.answer(after)).toBe('after');
    expect(client.resetCode(stream)).toBe(code);
    expect(client.goneAway()).toEqual([]);
    expect(echo.closed()).toBe(0);
    // Whoever was told of it is told of its end, and the others are not.
    const isOf = (id: number): boolean => id === stream;
    expect(echo.seen.slice(0, 3).map(({ isReset }) => isReset)).toEqual([false, isOf(open), isOf(waiting)]);
    expect(client.isAnswered(fresh)).toBe(false);
    client.send(...dataFrames(open, Buffer.from(' of it')));
    client.send(request(after + 2, 'last'));
    expect(await client.answer(after + 2)).toBe('last');
    expect(client.body(open).toString()).toBe(stream === open ? '' : 'part of it');
  });
});

describe('no error is', () => {
  it.each<[name: string, bytes: Buffer[]]>([
    ['an unknown frame', [frame(0x42, 0xff, open, 'whatever'), frame(0x42, 0, 0), frame(0x42, 0, 1001)]],
    ['an unknown setting', [settingsFrame([[0x42, 0xffff_ffff]])]],
    [
      'push, on or off',
      [settingsFrame([[settingIds.enablePush, 0]]), settingsFrame([[settingIds.enablePush, 1]])],
    ],
    ['the largest window', [windowFrame(0, largest - 65_535), windowFrame(open, largest - 65_535)]],
    ['the largest frame', [settingsFrame([[settingIds.maxFrameSize, 2 ** 24 - 1]])]],
    ['a window for a stream that is over', [windowFrame(closed, 1), windowFrame(closed, largest)]],
    ['a reset of a stream that is over', [resetFrame(closed, errorCodes.cancel)]],
    [
      'PRIORITY, for whatever stream',
      [closed, open, waiting, fresh, 2].map((id) => frame(priority, 0, id, '\0\0\0\x0bx')),
    ],
    ['a farewell', [frame(goAway, 0, 0, `${eight}bye`)]],
    ['an answer to no ping', [frame(ping, 1, 0, eight)]],
    ['the reserved bit of a stream id', [request(0x8000_0000 + fresh, 'fresh')]],
    ['the reserved bit of a window update', [windowFrame(open, 0x8000_0001)]],
    ['padding of DATA', [frame(data, padded, open, '\x03\0\0\0')]],
    ['unknown flags', [frame(data, 0xf6, open, '')]],
    [
      'a request in pieces, with padding and a priority',
      [
        frame(headers, 0x28, fresh, Buffer.concat([Buffer.from('\x02\0\0\0\0x'), block, Buffer.alloc(2)])),
        frame(continuation, 0, fresh),
        frame(continuation, endHeaders, fresh, headerBlock([['x', 'y']])),
        ...dataFrames(fresh, Buffer.from('fresh')),
      ],
    ],
  ])('%s', async (_, bytes) => {
    client.send(...bytes, ...dataFrames(open, Buffer.from(' of it')), request(after, 'after'));
    expect(await client.answer(open)).toBe('part of it');
    expect(await client.answer(after)).toBe('after');
    expect(client.frames.filter(({ type }) => type === goAway || type === resetStream)).toEqual([]);
    expect(client.body(fresh).toString()).toBe(echo.seen.length === 5 ? 'fresh' : '');
    expect(echo.errors).toEqual([]);
  });
});
