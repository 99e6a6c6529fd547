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
    ['WINDOW_UPDATE of 0', open, protocolError, [windowFrame(open, 0)]],
    ['a window above 2^31 - 1', open, flowControlError, [windowFrame(open, largest)]],
    [
      'a window above 2^31 - 1 while the response is due',
      waiting,
      flowControlError,
      [windowFrame(waiting, largest)],
    ],
    ['DATA after END_STREAM', waiting, streamClosed, [frame(data, 0, waiting, 'x')]],
    ['trailers after END_STREAM', waiting, streamClosed, [headersFrame(waiting, [['x', 'y']], endStream)]],
    [
      'a second request after END_STREAM',
      waiting,
      streamClosed,
      [headersFrame(waiting, requestFields(), endStream)],
    ],
    ['DATA after the response', closed, streamClosed, [frame(data, endStream, closed, 'x')]],
    [
      'DATA after the client’s RST_STREAM',
      open,
      streamClosed,
      [resetFrame(open, errorCodes.cancel), frame(data, 0, open, 'x')],
    ],
    [
      'more data than content-length',
      fresh,
      protocolError,
      [headersFrame(fresh, shortHead, 0), frame(data, endStream, fresh, '12345678901')],
    ],
    [
      'more data than content-length in the last frame',
      fresh,
      protocolError,
      [
        headersFrame(fresh, shortHead, 0),
        frame(data, 0, fresh, '1234567890'),
        frame(data, endStream, fresh, '1'),
      ],
    ],
    [
      'less data than content-length',
      fresh,
      protocolError,
      [headersFrame(fresh, shortHead, 0), frame(data, endStream, fresh, '123456789')],
    ],
    [
      'less data than content-length, made up by padding',
      fresh,
      protocolError,
      [headersFrame(fresh, shortHead, 0), frame(data, endStream | padded, fresh, '\x01123456789\0')],
    ],
    ['no data despite a content-length', fresh, protocolError, [headersFrame(fresh, shortHead, endStream)]],
    [
      'trailers before all data of the content-length',
      fresh,
      protocolError,
      [
        headersFrame(fresh, shortHead, 0),
        frame(data, 0, fresh, '123456789'),
        headersFrame(fresh, [['x', 'y']], endStream),
      ],
    ],
    ['trailers without END_STREAM', open, protocolError, [headersFrame(open, [['x', 'y']], 0)]],
    [
      'trailers with a pseudo-header field',
      open,
      protocolError,
      [headersFrame(open, [[':path', '/']], endStream)],
    ],
    ['trailers with an upper-case name', open, protocolError, [headersFrame(open, [['X', 'y']], endStream)]],
    [
      'trailers with a connection-specific field',
      open,
      protocolError,
      [headersFrame(open, [['connection', 'close']], endStream)],
    ],
    ['more data than the window', open, flowControlError, dataFrames(open, Buffer.alloc(streamWindow - 3))],
    [
      'more padding than the window',
      open,
      flowControlError,
      Array.from({ length: 100 }, () => frame(data, padded, open, Buffer.alloc(202, 200))),
    ],
    ['a request without a method', fresh, protocolError, [without(':method')]],
    ['a request without a scheme', fresh, protocolError, [without(':scheme')]],
    ['a request without a path', fresh, protocolError, [without(':path')]],
    ['a request without fields', fresh, protocolError, [frame(headers, 5, fresh)]],
    ['an upper-case name', fresh, protocolError, [withField('X-Name', 'y')]],
    ['a connection-specific field', fresh, protocolError, [withField('connection', 'close')]],
    ['an unknown pseudo-header field', fresh, protocolError, [withField(':status', '200')]],
    ['a content-length that is not a number', fresh, protocolError, [withField('content-length', '-1')]],
    ['te other than trailers', fresh, protocolError, [withField('te', 'gzip')]],
  ])('%s', async (_, stream, code, bytes) => {
    client.send(...bytes, request(after, 'after'));
    expect(await client.answer(after)).toBe('after');
    expect(client.resetCode(stream)).toBe(code);
    expect(client.goneAway()).toEqual([]);
    expect(echo.closed()).toBe(0);
    // Only the handler of the failed stream is notified.
    const isOf = (id: number): boolean => id === stream;
    expect(echo.seen.slice(0, 3).map(({ isReset }) => isReset)).toEqual([false, isOf(open), isOf(waiting)]);
    expect(client.isAnswered(fresh)).toBe(false);
    client.send(...dataFrames(open, Buffer.from(' of it')));
    client.send(request(after + 2, 'last'));
    expect(await client.answer(after + 2)).toBe('last');
    expect(client.body(open).toString()).toBe(stream === open ? '' : 'part of it');
  });
});

describe('these are not errors:', () => {
  it.each<[name: string, bytes: Buffer[]]>([
    ['an unknown frame', [frame(0x42, 0xff, open, 'whatever'), frame(0x42, 0, 0), frame(0x42, 0, 1001)]],
    ['an unknown setting', [settingsFrame([[0x42, 0xffff_ffff]])]],
    [
      'ENABLE_PUSH, 0 or 1',
      [settingsFrame([[settingIds.enablePush, 0]]), settingsFrame([[settingIds.enablePush, 1]])],
    ],
    ['the largest window', [windowFrame(0, largest - 65_535), windowFrame(open, largest - 65_535)]],
    ['the largest frame', [settingsFrame([[settingIds.maxFrameSize, 2 ** 24 - 1]])]],
    ['WINDOW_UPDATE on a closed stream', [windowFrame(closed, 1), windowFrame(closed, largest)]],
    ['RST_STREAM on a closed stream', [resetFrame(closed, errorCodes.cancel)]],
    [
      'PRIORITY on any stream',
      [closed, open, waiting, fresh, 2].map((id) => frame(priority, 0, id, '\0\0\0\x0bx')),
    ],
    ['GOAWAY', [frame(goAway, 0, 0, `${eight}bye`)]],
    ['an acknowledgement of a PING that was never sent', [frame(ping, 1, 0, eight)]],
    ['the reserved bit of a stream id', [request(0x8000_0000 + fresh, 'fresh')]],
    ['the reserved bit of a window update', [windowFrame(open, 0x8000_0001)]],
    ['padding of DATA', [frame(data, padded, open, '\x03\0\0\0')]],
    ['unknown flags', [frame(data, 0xf6, open, '')]],
    [
      'a header block in several frames, with padding and priority',
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
