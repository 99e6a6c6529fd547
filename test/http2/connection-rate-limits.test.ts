import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConnectionOptions } from '../../src/http2/connection-options.ts';
import type { Connection } from '../../src/http2/connection.ts';
import { errorCodes, frameFlags, frameTypes } from '../../src/http2/frames.ts';
import { eventually } from '../processes.ts';
import { connectEcho, disconnectEcho } from './connected-echo.ts';
import type { EchoServer } from './echo-server.ts';
import {
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

const { cancel, enhanceYourCalm } = errorCodes;
const { endStream } = frameFlags;
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

describe('the rate limit of control frames ends a connection after too many', () => {
  const calm = [{ last: expect.any(Number), code: enhanceYourCalm }];

  it.each<[name: string, one: (index: number) => Buffer]>([
    ['PING', () => pingFrame(eight)],
    ['SETTINGS', () => settingsFrame([])],
    ['RST_STREAM', (index) => Buffer.concat([openFrame(2 * index + 3), resetFrame(2 * index + 3, cancel)])],
    ['empty DATA', () => frame(frameTypes.data, 0, 1)],
    ['DATA that is only padding', () => frame(frameTypes.data, 8, 1, '\x01\0')],
    ['PRIORITY', () => frame(frameTypes.priority, 0, 1, '\0\0\0\0\0')],
    ['unknown frames', () => frame(0x42, 0, 0)],
    ['GOAWAY', () => frame(frameTypes.goAway, 0, 0, '\0\0\0\0\0\0\0\0')],
    ['DATA on a closed stream', () => frame(frameTypes.data, 0, 1, 'x')],
    ['trailers on a closed stream', () => headersFrame(1, [['x', 'y']], endStream)],
  ])('%s', async (name, one) => {
    await restart({ controlFrameLimit: { burst: 100, perSecond: 0.001 } });
    client.send(openFrame(1, name.includes('closed') ? '/at-head' : '/'));
    await client.handled();
    // The PING of `handled` counts too, unless a request came since the last one.
    const most = name === 'RST_STREAM' ? 100 : 99;
    client.send(...Array.from({ length: most }, (_, index) => one(index)));
    await client.handled();
    expect(client.goneAway()).toEqual([]);
    client.send(one(most));
    await client.closed();
    expect(client.goneAway()).toEqual(calm);
    expect(connection.openStreams).toBe(0);
    expect(echo.closed()).toBe(1);
  });

  it.each<[name: string, parts: number, part: Buffer]>([
    ['that are empty', 63, Buffer.alloc(0)],
    ['that are large', 63, Buffer.alloc(1000, headerBlock([['x', 'y']]))],
    ['that are few and very large', 3, Buffer.alloc(16_380, headerBlock([['x', 'y']]))],
  ])('a header block in parts %s', async (_, parts, part) => {
    const begun = frame(frameTypes.headers, 0, 1, headerBlock(requestFields()));
    const more = Array.from({ length: parts }, () => frame(frameTypes.continuation, 0, 1, part));
    client.send(begun, ...more);
    await eventually(
      'it was read',
      () => echo.sockets[0]?.bytesRead === client.socket.bytesWritten || undefined,
    );
    expect(client.isClosed).toBe(false);
    client.send(frame(frameTypes.continuation, 0, 1, part));
    await client.closed();
    expect(client.goneAway()).toEqual([{ last: 0, code: enhanceYourCalm }]);
    expect(echo.seen).toEqual([]);
  });

  it('does not count requests that get their response', async () => {
    await restart({ controlFrameLimit: { burst: 10, perSecond: 0.001 } });
    for (let id = 1; id < 1000; id += 2) client.send(request(id, 'x'), windowFrame(0, 1));
    expect(await client.answer(999)).toBe('x');
    expect(client.goneAway()).toEqual([]);
  });
});
