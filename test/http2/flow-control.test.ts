import { once } from 'node:events';
import { connect, type ClientHttp2Session } from 'node:http2';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorCodes, frameTypes, initialWindow, largestWindow, settingIds } from '../../src/http2/frames.ts';
import { eventually } from '../processes.ts';
import { createEchoServer, type EchoServer } from './echo-server.ts';
import { openFrame, RawClient, request, resetFrame, settingsFrame, windowFrame } from './raw-client.ts';

const { initialWindowSize, maxFrameSize } = settingIds;

let echo: EchoServer;
let port: number;
let client: RawClient;

beforeEach(async () => {
  echo = createEchoServer();
  port = await echo.listen();
  client = await RawClient.connect(port);
});
afterEach(async () => {
  client.destroy();
  await echo.stop();
});

/** Bytes in which no part looks like another. */
function distinct(bytes: number, seed = 1): Buffer {
  const body = Buffer.alloc(bytes);
  for (let at = 0, state = seed; at < bytes; at += 1) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    body[at] = state >>> 16;
  }
  return body;
}

const text = (body: Buffer): string => body.toString('latin1');
const sizes = (stream: number): number[] =>
  client.of(stream, frameTypes.data).map(({ payload }) => payload.length);

describe('a response', () => {
  it('is sent up to the window of its stream, and the rest as the window opens', async () => {
    const body = distinct(25);
    client.hello([[initialWindowSize, 10]]);
    client.send(request(1, body));
    await client.handled();
    expect(sizes(1)).toEqual([10]);
    client.send(windowFrame(1, 7));
    await client.handled();
    expect(sizes(1)).toEqual([10, 7]);
    expect(client.isAnswered(1)).toBe(false);
    client.send(windowFrame(1, 8));
    expect(await client.answer(1)).toBe(text(body));
    expect(sizes(1)).toEqual([10, 7, 8]);
    expect(echo.connections[0]?.openStreams).toBe(0);
  });

  it('is sent up to the window of the connection, which all streams share', async () => {
    client.hello([[initialWindowSize, 1_000_000]]);
    const bodies = [distinct(60_000, 1), distinct(60_000, 2), distinct(100, 3)];
    client.send(...bodies.map((body, index) => request(index * 2 + 1, body)));
    const sent = (): number => [1, 3, 5].flatMap(sizes).reduce((sum, size) => sum + size, 0);
    await client.handled();
    expect(sent()).toBe(initialWindow);
    expect(client.isAnswered(1)).toBe(true);
    client.send(windowFrame(0, 1));
    await client.handled();
    expect(sent()).toBe(initialWindow + 1);
    client.send(windowFrame(0, 54_564));
    expect(await client.answer(3)).toBe(text(bodies[1] ?? Buffer.alloc(0)));
    expect(await client.answer(5)).toBe(text(bodies[2] ?? Buffer.alloc(0)));
    expect(await client.answer(1)).toBe(text(bodies[0] ?? Buffer.alloc(0)));
    expect(sent()).toBe(120_100);
  });

  it('that waits for its own window does not hold up others', async () => {
    client.hello([[initialWindowSize, 10]]);
    client.send(request(1, 'first, long'), request(3, 'second'));
    expect(await client.answer(3)).toBe('second');
    expect(client.isAnswered(1)).toBe(false);
    client.send(windowFrame(1, 1));
    expect(await client.answer(1)).toBe('first, long');
  });

  it.each([
    [undefined, 16_384],
    [40_000, 40_000],
  ])('is sent in frames of the MAX_FRAME_SIZE that the client set, %s', async (limit, largest) => {
    const body = distinct(200_000);
    client.hello([
      [initialWindowSize, 1_000_000],
      ...(limit === undefined ? [] : ([[maxFrameSize, limit]] as const)),
    ]);
    client.send(windowFrame(0, 1_000_000), request(1, body));
    expect(await client.answer(1)).toBe(text(body));
    expect(Math.max(...sizes(1))).toBe(largest);
  });

  it('waits while its window is negative', async () => {
    const body = distinct(3000);
    client.hello([[initialWindowSize, 1000]]);
    client.send(request(1, body));
    await client.handled();
    // 1000 - 1000 + 200 - 1000.
    client.send(settingsFrame([[initialWindowSize, 200]]), windowFrame(1, 800));
    await client.handled();
    expect(sizes(1)).toEqual([1000]);
    client.send(windowFrame(1, 50));
    await client.handled();
    expect(sizes(1)).toEqual([1000, 50]);
    client.send(settingsFrame([[initialWindowSize, 300]]));
    await client.handled();
    expect(sizes(1)).toEqual([1000, 50, 100]);
    // New streams start with the latest initial window.
    client.send(request(3, distinct(400)));
    await client.handled();
    expect(sizes(3)).toEqual([300]);
    client.send(settingsFrame([[initialWindowSize, 5000]]));
    expect(await client.answer(1)).toBe(text(body));
    expect(await client.answer(3)).toBe(text(distinct(400)));
  });

  it('that waits is dropped with its stream, and others go on', async () => {
    client.hello([[initialWindowSize, 100_000]]);
    client.send(request(1, distinct(initialWindow, 1)), request(3, distinct(50_000)), request(5, 'five'));
    await client.handled();
    expect(echo.connections[0]?.openStreams).toBe(2);
    client.send(resetFrame(3, errorCodes.cancel));
    await client.handled();
    expect(echo.connections[0]?.openStreams).toBe(1);
    expect(echo.seen.map(({ isReset }) => isReset)).toEqual([false, true, false]);
    client.send(windowFrame(0, 4));
    expect(await client.answer(5)).toBe('five');
    expect(sizes(3)).toEqual([]);
    expect(echo.connections[0]?.openStreams).toBe(0);
  });

  it('without a body needs no window', async () => {
    client.hello([[initialWindowSize, 0]]);
    client.send(request(1, ''));
    expect(await client.answer(1)).toBe('');
  });
});

describe('the receive window of a connection', () => {
  it('is reopened as bodies arrive', async () => {
    client.hello();
    const bodies = Array.from({ length: 30 }, (_, index) => distinct(200_000, index));
    let sent = 0;
    const granted = (): number =>
      client.of(0, frameTypes.windowUpdate).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
    for (const [index, body] of bodies.entries()) {
      sent += body.length;
      await client.waitFor('a window', () => initialWindow + granted() >= sent || undefined);
      client.send(request(index * 2 + 1, body, '/never'));
    }
    await client.handled();
    expect(sent).toBeGreaterThan(4 * 1024 * 1024);
    expect(
      echo.seen.map(({ body, isEnded }, index) => isEnded && body.equals(bodies[index] ?? body)),
    ).toEqual(bodies.map(() => true));
    // Between 2 and 4 MiB.
    const left = initialWindow + granted() - sent;
    expect(left).toBeGreaterThanOrEqual(2 * 1024 * 1024);
    expect(left).toBeLessThanOrEqual(4 * 1024 * 1024);
    expect(client.goneAway()).toEqual([]);
  });

  it('is reopened for DATA on closed streams, too', async () => {
    client.hello();
    client.send(openFrame(1, '/at-head'));
    await client.answer(1);
    const before = client.of(0, frameTypes.windowUpdate).length;
    client.send(
      ...Array.from({ length: 129 }, () => Buffer.from('004000000000000001', 'hex')).flatMap((head) => [
        head,
        Buffer.alloc(16_384),
      ]),
    );
    await client.handled();
    expect(client.of(0, frameTypes.windowUpdate)).toHaveLength(before + 1);
  });
});

describe('a client that does not read', () => {
  it.each([false, true])(
    'is not read from until it reads (private fields of Node hidden: %s)',
    async (hidesInternals) => {
      await echo.stop();
      echo = createEchoServer({}, { hidesInternals });
      client = await RawClient.connect(await echo.listen());
      const other = await RawClient.connect(client.socket.remotePort ?? 0);
      other.hello();
      client.hello([[initialWindowSize, largestWindow]]);
      client.send(windowFrame(0, largestWindow - initialWindow));
      await client.handled();
      const [served] = echo.sockets;
      if (served === undefined) throw new Error('no socket');
      client.socket.pause();
      const ask = (stream: number): void =>
        client.send(request(stream, '', '/', [['x-answer-bytes', '60000']]));
      let stream = 1;
      for (; !served.isPaused(); stream += 2) {
        ask(stream);
        await eventually(
          'the request was read, or nothing is read any more',
          () => echo.seen.length === (stream + 1) / 2 || served.isPaused() || undefined,
        );
      }
      // 64 KiB, and what had been collected when that was exceeded.
      expect(served.writableLength).toBeGreaterThan(64 * 1024);
      expect(served.writableLength).toBeLessThan(3 * 64 * 1024);
      const taken = echo.seen.length;
      for (let more = 0; more < 50; more += 1, stream += 2) ask(stream);
      for (let turn = 1; turn < 20; turn += 2) {
        other.send(request(turn, 'meanwhile'));
        expect(await other.answer(turn)).toBe('meanwhile');
      }
      expect(echo.seen).toHaveLength(taken + 10);
      expect(served.isPaused()).toBe(true);
      client.socket.resume();
      for (let id = 1; id < stream; id += 2) expect(await client.answer(id)).toHaveLength(60_000);
      expect(served.isPaused()).toBe(false);
      expect(echo.closed()).toBe(0);
      other.destroy();
    },
  );
});

describe('a node:http2 client', () => {
  let session: ClientHttp2Session;
  afterEach(() => session.destroy());

  async function exchange(body: Buffer, answerBytes: number | undefined): Promise<Buffer> {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/',
      ...(answerBytes === undefined ? {} : { 'x-answer-bytes': String(answerBytes) }),
    });
    const chunks: Buffer[] = [];
    let trailers: unknown;
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('trailers', (fields) => (trailers = fields['x-status']));
    for (let at = 0; at < body.length; at += 30_000) stream.write(body.subarray(at, at + 30_000));
    stream.end();
    await once(stream, 'end');
    if (trailers !== 'done') throw new Error('no trailers');
    return Buffer.concat(chunks);
  }

  it.each([false, true])(
    'gets 200 concurrent responses right (private fields of Node hidden: %s)',
    async (hidesInternals) => {
      await echo.stop();
      echo = createEchoServer({}, { hidesInternals });
      // The default of 10 MB is less than what the client has to send.
      session = connect(`http://127.0.0.1:${await echo.listen()}`, { maxSessionMemory: 1000 });
      const random = distinct(1000, 7);
      const wrong = await Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          const body = distinct(random.readUInt32BE(index * 4) % 200_001, index);
          const answerBytes = index % 2 === 0 ? undefined : random.readUInt32BE(index * 4 + 1) % 200_001;
          const answer = await exchange(body, answerBytes);
          const expected = answerBytes === undefined ? body : Buffer.alloc(answerBytes, 'a');
          return answer.equals(expected) ? [] : [index];
        }),
      );
      expect(wrong.flat()).toEqual([]);
      const arrived = echo.seen.map(({ body }) => body.length).sort((a, b) => a - b);
      const sent = Array.from({ length: 200 }, (_, index) => random.readUInt32BE(index * 4) % 200_001);
      expect(arrived).toEqual(sent.sort((a, b) => a - b));
      expect(echo.connections[0]?.openStreams).toBe(0);
      expect(echo.errors).toEqual([]);
    },
  );
});
