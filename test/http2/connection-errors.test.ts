import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorCodes, frameFlags, frameTypes, preface, settingIds } from '../../src/http2/frames.ts';
import type { EchoServer } from './echo-server.ts';
import {
  frame,
  headerBlock,
  openFrame,
  pingFrame,
  RawClient,
  request,
  requestFields,
  resetFrame,
  settingsFrame,
  uint32,
  windowFrame,
} from './raw-client.ts';
import { beginThree, after, fresh, open, closed } from './three-streams.ts';

const { protocolError, flowControlError, streamClosed, frameSizeError, compressionError } = errorCodes;
const {
  data,
  headers,
  priority,
  resetStream,
  settings,
  pushPromise,
  ping,
  goAway,
  windowUpdate,
  continuation,
} = frameTypes;
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

/** A header block whose rest is missing. */
const unfinished = frame(headers, endStream, fresh, block);

describe('a connection ends with GOAWAY after', () => {
  it.each<[name: string, code: number, bytes: Buffer[]]>([
    ['DATA without a stream', protocolError, [frame(data, 0, 0, 'x')]],
    ['HEADERS without a stream', protocolError, [frame(headers, endStream | endHeaders, 0, block)]],
    ['PRIORITY without a stream', protocolError, [frame(priority, 0, 0, '12345')]],
    ['RST_STREAM without a stream', protocolError, [resetFrame(0, 8)]],
    ['SETTINGS on a stream', protocolError, [frame(settings, 0, open)]],
    [
      'PUSH_PROMISE',
      protocolError,
      [frame(pushPromise, endHeaders, open, Buffer.concat([uint32(2), block]))],
    ],
    ['PING on a stream', protocolError, [frame(ping, 0, open, eight)]],
    ['GOAWAY on a stream', protocolError, [frame(goAway, 0, open, eight)]],
    ['CONTINUATION without a stream', protocolError, [unfinished, frame(continuation, endHeaders, 0)]],

    ['PRIORITY of 4 bytes', frameSizeError, [frame(priority, 0, open, '1234')]],
    ['PRIORITY of 6 bytes', frameSizeError, [frame(priority, 0, open, '123456')]],
    ['RST_STREAM of 3 bytes', frameSizeError, [frame(resetStream, 0, open, '123')]],
    ['RST_STREAM of 5 bytes', frameSizeError, [frame(resetStream, 0, open, '12345')]],
    ['SETTINGS of 5 bytes', frameSizeError, [frame(settings, 0, 0, '12345')]],
    ['SETTINGS of 7 bytes', frameSizeError, [frame(settings, 0, 0, '1234567')]],
    [
      'an acknowledgement of SETTINGS with a payload',
      frameSizeError,
      [frame(settings, 1, 0, Buffer.alloc(6))],
    ],
    ['PING of 7 bytes', frameSizeError, [frame(ping, 0, 0, '1234567')]],
    ['PING of 9 bytes', frameSizeError, [frame(ping, 0, 0, '123456789')]],
    ['GOAWAY of 7 bytes', frameSizeError, [frame(goAway, 0, 0, '1234567')]],
    ['WINDOW_UPDATE of 3 bytes', frameSizeError, [frame(windowUpdate, 0, 0, '123')]],
    ['WINDOW_UPDATE of 5 bytes on a stream', frameSizeError, [frame(windowUpdate, 0, open, '12345')]],
    ['DATA above the limit', frameSizeError, [frame(data, 0, open, Buffer.alloc(16_385))]],
    ['HEADERS above the limit', frameSizeError, [frame(headers, 5, fresh, Buffer.alloc(16_385))]],
    ['an unknown frame above the limit', frameSizeError, [frame(0x42, 0, 0, Buffer.alloc(16_385))]],

    ['CONTINUATION without a header block', protocolError, [frame(continuation, endHeaders, open, block)]],
    [
      'CONTINUATION of a complete header block',
      protocolError,
      [frame(headers, endHeaders, fresh, block), frame(continuation, endHeaders, fresh)],
    ],
    ['DATA within a header block', protocolError, [unfinished, frame(data, 0, open, 'x')]],
    ['HEADERS within a header block', protocolError, [unfinished, request(fresh + 2, '')]],
    ['HEADERS repeated within their block', protocolError, [unfinished, unfinished]],
    ['PING within a header block', protocolError, [unfinished, pingFrame(eight)]],
    ['PRIORITY within a header block', protocolError, [unfinished, frame(priority, 0, open, '\0\0\0\0\0')]],
    ['an unknown frame within a header block', protocolError, [unfinished, frame(0x42, 0, fresh)]],
    [
      'CONTINUATION of another stream',
      protocolError,
      [unfinished, frame(continuation, endHeaders, fresh + 2, block)],
    ],

    ['DATA on an idle stream', protocolError, [frame(data, 0, fresh, 'x')]],
    ['RST_STREAM on an idle stream', protocolError, [resetFrame(fresh, 8)]],
    ['WINDOW_UPDATE on an idle stream', protocolError, [windowFrame(fresh, 1)]],
    ['DATA on a server’s stream id', protocolError, [frame(data, 0, 2, 'x')]],
    ['RST_STREAM on a server’s stream id', protocolError, [resetFrame(2, 8)]],
    ['WINDOW_UPDATE on a server’s stream id', protocolError, [windowFrame(2, 1)]],
    ['a request with an even stream id', protocolError, [request(fresh + 1, '')]],
    ['a request with a lower stream id', streamClosed, [request(3, '')]],
    ['a request on a closed stream', streamClosed, [request(closed, '')]],

    ['WINDOW_UPDATE of 0', protocolError, [windowFrame(0, 0)]],
    ['a window above 2^31 - 1', flowControlError, [windowFrame(0, largest)]],
    ['ENABLE_PUSH of 2', protocolError, [settingsFrame([[settingIds.enablePush, 2]])]],
    [
      'INITIAL_WINDOW_SIZE above 2^31 - 1',
      flowControlError,
      [settingsFrame([[settingIds.initialWindowSize, 2 ** 31]])],
    ],
    [
      'INITIAL_WINDOW_SIZE that lifts the window of a stream above 2^31 - 1',
      flowControlError,
      [windowFrame(open, largest - 65_535), settingsFrame([[settingIds.initialWindowSize, 65_536]])],
    ],
    ['MAX_FRAME_SIZE that is too small', protocolError, [settingsFrame([[settingIds.maxFrameSize, 16_383]])]],
    [
      'MAX_FRAME_SIZE that is too large',
      protocolError,
      [settingsFrame([[settingIds.maxFrameSize, 2 ** 24]])],
    ],

    ['DATA with more padding than payload', protocolError, [frame(data, padded, open, '\x05abcd')]],
    ['padded DATA without a payload', protocolError, [frame(data, padded, open)]],
    [
      'HEADERS with more padding than payload',
      protocolError,
      [frame(headers, 5 | padded, fresh, '\x05abcd')],
    ],
    ['padded HEADERS without a payload', protocolError, [frame(headers, 5 | padded, fresh)]],
    ['HEADERS too short for their priority', protocolError, [frame(headers, 0x25, fresh, '\0\0\0\0')]],
    [
      'HEADERS too short for priority and padding',
      protocolError,
      [frame(headers, 0x25 | padded, fresh, '\x02\0\0\0\0\0x')],
    ],
    [
      'HEADERS of a stream that depends on itself',
      protocolError,
      [frame(headers, 0x25, fresh, Buffer.concat([uint32(fresh), Buffer.from([0]), block]))],
    ],
    [
      'HEADERS that depend on themselves exclusively',
      protocolError,
      [frame(headers, 0x25, fresh, Buffer.concat([uint32(0x8000_0000 + fresh), Buffer.from([0]), block]))],
    ],
    [
      'PRIORITY of a stream that depends on itself',
      protocolError,
      [frame(priority, 0, open, Buffer.concat([uint32(open), Buffer.from([0])]))],
    ],

    ['index 0 in a header block', compressionError, [frame(headers, 5, fresh, '\x80')]],
    ['an index beyond the header table', compressionError, [frame(headers, 5, fresh, Buffer.from([0xfe]))]],
    ['a truncated header block', compressionError, [frame(headers, 5, fresh, block.subarray(0, -1))]],
    ['a header table above the limit', compressionError, [frame(headers, 5, fresh, '\x3f\xe2\x1f')]],
    ['malformed trailers', compressionError, [frame(headers, 5, open, Buffer.from([0xfe]))]],
    [
      'a malformed block in two frames',
      compressionError,
      [unfinished, frame(continuation, endHeaders, fresh, Buffer.from([0xfe]))],
    ],
    [
      'a malformed block on a stream that was closed early',
      compressionError,
      [openFrame(fresh, '/at-head'), frame(headers, 5, fresh, Buffer.from([0xfe]))],
    ],
  ])('%s', async (_, code, bytes) => {
    const seenBefore = echo.seen.length;
    client.send(...bytes, request(after, 'after'));
    await client.closed();
    expect(client.goneAway().map((gone) => gone.code)).toEqual([code]);
    expect(echo.errors).toHaveLength(1);
    expect(client.of(after, headers)).toEqual([]);
    expect(
      echo.seen.slice(seenBefore).filter(({ isReset }) => !isReset && !client.isAnswered(fresh)),
    ).toEqual([]);
    expect(echo.seen.slice(0, 3).map(({ isReset }) => isReset)).toEqual([false, true, true]);
    expect(echo.connections[0]?.openStreams).toBe(0);
    expect(echo.closed()).toBe(1);
  });

  it('an error, naming the last stream that was accepted', async () => {
    client.send(openFrame(fresh), windowFrame(0, 0));
    await client.closed();
    expect(client.goneAway()).toEqual([{ last: fresh, code: protocolError }]);
  });
});

describe('a connection ends before its first request after', () => {
  it.each<[name: string, code: number, bytes: Buffer[]]>([
    [
      'an HTTP/1.1 request',
      protocolError,
      [Buffer.from('GET / HTTP/1.1\r\n\r\n'), preface, settingsFrame([])],
    ],
    ['a wrong first byte', protocolError, [Buffer.from('Q')]],
    [
      'a wrong last byte of the preface',
      protocolError,
      [preface.subarray(0, -1), Buffer.from('\r'), settingsFrame([])],
    ],
    ['PING first', protocolError, [preface, pingFrame(eight), settingsFrame([])]],
    ['a request first', protocolError, [preface, request(1, ''), settingsFrame([])]],
    ['an acknowledgement of SETTINGS first', protocolError, [preface, frame(settings, 1, 0)]],
    ['an unknown frame first', protocolError, [preface, frame(0x42, 0, 0), settingsFrame([])]],
    // Its first bytes read as the head of a 5 MB frame.
    ['the preface twice', frameSizeError, [preface, preface, settingsFrame([])]],
  ])('%s, and no request is read', async (_, code, bytes) => {
    const silent = await RawClient.connect(client.socket.remotePort ?? 0);
    silent.send(...bytes, request(1, 'after'));
    await silent.closed();
    expect(silent.goneAway()).toEqual([{ last: 0, code }]);
    expect(echo.seen).toHaveLength(3);
    expect(echo.closed()).toBe(1);
  });
});
