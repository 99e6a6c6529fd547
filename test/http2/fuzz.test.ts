import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorCodes, frameTypes, preface, settingIds } from '../../src/http2/frames.ts';
import {
  dataFrames,
  frame,
  headersFrame,
  openFrame,
  pingFrame,
  RawClient,
  request,
  requestFields,
  resetFrame,
  settingsFrame,
  windowFrame,
} from './raw-client.ts';
import { useSurvivingEcho } from './surviving-echo.ts';

const { echo, port, faults, closedWith } = useSurvivingEcho();

/**
 * Sends the bytes in pieces, then FIN. Expects the server to close, to keep nothing, and to serve another
 * client.
 */
async function survives(bytes: Buffer, pieceBytes: number): Promise<void> {
  const first = echo.connections.length;
  const client = await RawClient.connect(port());
  for (let at = 0; at < bytes.length && !client.isClosed; at += pieceBytes) {
    client.send(bytes.subarray(at, at + pieceBytes));
    await new Promise((resolve) => setImmediate(resolve));
  }
  client.end();
  await client.closed();
  const other = await RawClient.connect(port());
  other.hello();
  other.send(request(1, 'another'));
  const answer = await other.answer(1);
  other.destroy();
  await closedWith(first + 2);
  expect(answer).toBe('another');
  expect(faults).toEqual([]);
  expect(echo.connections.map(({ openStreams }) => openStreams).filter((open) => open > 0)).toEqual([]);
  expect(echo.seen.filter(({ isReset, isEnded, head }) => !isReset && !isEnded && head.path === '/')).toEqual(
    [],
  );
}

// A run takes 1 ms. A time limit would stop in the middle of a run, and the next test would count its
// connection.
const bounds = { numRuns: 1500 };
const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

const anyFrame = fc
  .tuple(
    fc.integer({ min: 0, max: 10 }),
    fc.constantFrom(0, 1, 4, 5, 8, 0x20, 0x2d, 255),
    fc.integer({ min: 0, max: 9 }),
    bytes(40),
  )
  .map(([type, flags, stream, payload]) => frame(type, flags, stream, payload));

const stream = fc.constantFrom(1, 3, 5, 7, 9);
const saneFrame = fc.oneof(
  stream.map((id) => openFrame(id)),
  stream.map((id) => request(id, 'body')),
  stream.map((id) => openFrame(id, '/at-head')),
  stream.map((id) => openFrame(id, '/', [['content-length', '8']])),
  stream.map((id) => headersFrame(id, [['x', 'y']], 1)),
  fc
    .tuple(stream, bytes(40), fc.boolean())
    .map(([id, body, end]) => Buffer.concat(dataFrames(id, body, end))),
  stream.map((id) => frame(frameTypes.data, 8, id, '\x02xx\0\0')),
  stream.map((id) => resetFrame(id, errorCodes.cancel)),
  fc.tuple(fc.constantFrom(0, 1, 3), fc.nat(1000)).map(([id, more]) => windowFrame(id, more + 1)),
  fc.nat(100_000).map((window) => settingsFrame([[settingIds.initialWindowSize, window]])),
  fc.constantFrom(0, 100, 4096).map((size) => settingsFrame([[settingIds.headerTableSize, size]])),
  fc.constant(pingFrame('12345678')),
  stream.map((id) =>
    Buffer.concat([
      frame(frameTypes.headers, 1, id, headersFrame(id, requestFields(), 0).subarray(9, 20)),
      frame(frameTypes.continuation, 4, id, headersFrame(id, requestFields(), 0).subarray(20)),
    ]),
  ),
);

/** The frames of one exchange on the given stream, or on none. */
const exchange: fc.Arbitrary<(id: number) => Buffer[]> = fc.oneof(
  bytes(100).map((body) => (id: number) => [
    openFrame(id),
    ...dataFrames(id, body, false),
    ...dataFrames(id, body),
  ]),
  fc.constant((id: number) => [
    openFrame(id, '/', [['content-length', '8']]),
    frame(frameTypes.data, 8, id, '\x02123456\0\0'),
    ...dataFrames(id, Buffer.from('78'), false),
    headersFrame(id, [['x', 'y']], 1),
  ]),
  fc.constant((id: number) => [openFrame(id, '/at-head'), ...dataFrames(id, Buffer.from('late'))]),
  fc.constant((id: number) => [openFrame(id), resetFrame(id, errorCodes.cancel)]),
  fc.constant((id: number) => [
    frame(frameTypes.headers, 1, id, headersFrame(id, requestFields(), 0).subarray(9, 20)),
    frame(frameTypes.continuation, 4, id, headersFrame(id, requestFields(), 0).subarray(20)),
  ]),
  fc.constant(() => [pingFrame('12345678')]),
  fc.nat(1000).map((more) => () => [windowFrame(0, more + 1)]),
  fc.nat(100_000).map((window) => () => [settingsFrame([[settingIds.initialWindowSize, window]])]),
);

type Mutation = {
  readonly kind: 'flip' | 'cut' | 'double' | 'swap';
  readonly at: number;
  readonly bit: number;
};

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('flip', 'cut', 'double', 'swap'),
  at: fc.nat(1000),
  bit: fc.nat(7),
});

function mutated(frames: readonly Buffer[], { kind, at, bit }: Mutation): Buffer[] {
  const copy = frames.map((bytes) => Buffer.from(bytes));
  const index = at % copy.length;
  const chosen = copy[index] ?? Buffer.alloc(0);
  const offset = (at * 7) % chosen.length;
  switch (kind) {
    case 'flip':
      chosen[offset] = (chosen[offset] ?? 0) ^ (1 << bit);
      return copy;
    case 'cut':
      return copy.with(index, chosen.subarray(0, offset));
    case 'double':
      return copy.toSpliced(index, 0, chosen);
    case 'swap':
      return [...copy.slice(index), ...copy.slice(0, index)];
  }
}

describe('the server survives', () => {
  it('random bytes after the preface', async () => {
    await fc.assert(
      fc.asyncProperty(
        bytes(300),
        fc.boolean(),
        fc.integer({ min: 1, max: 200 }),
        async (noise, hello, piece) => {
          await survives(Buffer.concat([preface, ...(hello ? [settingsFrame([])] : []), noise]), piece);
        },
      ),
      bounds,
    );
    expect(faults).toEqual([]);
  });

  it('random frames', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(anyFrame, saneFrame), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 5, max: 300 }),
        async (frames, piece) => {
          await survives(Buffer.concat([preface, settingsFrame([]), ...frames]), piece);
        },
      ),
      bounds,
    );
    expect(faults).toEqual([]);
  });

  it('valid exchanges with mutated frames', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(exchange, { minLength: 1, maxLength: 20 }),
        fc.array(mutation, { maxLength: 4 }),
        fc.integer({ min: 5, max: 300 }),
        async (exchanges, mutations, piece) => {
          const frames = exchanges.flatMap((of, index) => of(index * 2 + 1));
          const sent = mutations.reduce<Buffer[]>(mutated, [settingsFrame([]), ...frames]);
          await survives(Buffer.concat([preface, ...sent]), piece);
        },
      ),
      bounds,
    );
    expect(faults).toEqual([]);
  });
});
