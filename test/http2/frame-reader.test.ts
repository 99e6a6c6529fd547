import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader } from '../../src/http2/frame-reader.ts';
import { frame, type SeenFrame } from './raw-client.ts';

const limit = 300;

/** A reader that keeps a copy of all that it was handed, until it has had `most` frames. */
function keeping(most = Infinity): { reader: FrameReader; seen: SeenFrame[] } {
  const seen: SeenFrame[] = [];
  const reader = new FrameReader(limit, ({ bytes, start, end, type, flags, stream }) => {
    seen.push({ type, flags, stream, payload: Buffer.from(bytes.subarray(start, end)) });
    return seen.length < most;
  });
  return { reader, seen };
}

/** Reads a copy that is something else afterwards. */
function readOnce(reader: FrameReader, chunk: Buffer, start = 0): boolean {
  const copy = Buffer.from(chunk);
  const goesOn = reader.read(copy, start);
  copy.fill(0);
  return goesOn;
}

const encoded = ({ type, flags, stream, payload }: SeenFrame): Buffer => frame(type, flags, stream, payload);

function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (const length of lengths) {
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return [...chunks, bytes.subarray(at)];
}

const byte = fc.integer({ min: 0, max: 255 });
const anyFrame: fc.Arbitrary<SeenFrame> = fc.record({
  type: byte,
  flags: byte,
  stream: fc.nat({ max: 2 ** 31 - 1 }),
  payload: fc.uint8Array({ maxLength: limit }).map((bytes) => Buffer.from(bytes)),
});
const frames = fc.array(anyFrame, { maxLength: 12 });
const cuts = fc.array(fc.oneof(fc.nat({ max: 12 }), fc.nat({ max: 700 })), { maxLength: 40 });

const some: readonly SeenFrame[] = [
  { type: 0, flags: 1, stream: 1, payload: Buffer.from('first') },
  { type: 4, flags: 0, stream: 0, payload: Buffer.alloc(0) },
  { type: 255, flags: 255, stream: 2 ** 31 - 1, payload: Buffer.alloc(limit, 'x') },
];
const someBytes = Buffer.concat(some.map(encoded));

describe('frames', () => {
  it('come out as they went in, however they are cut', () => {
    fc.assert(
      fc.property(frames, cuts, (frames, lengths) => {
        const { reader, seen } = keeping();
        for (const chunk of cut(Buffer.concat(frames.map(encoded)), lengths))
          expect(readOnce(reader, chunk)).toBe(true);
        expect(seen).toEqual(frames);
      }),
      { numRuns: 2000 },
    );
  });

  it('come out octet by octet, each as soon as its last octet is there', () => {
    const { reader, seen } = keeping();
    const counts = [...someBytes].map((octet) => {
      readOnce(reader, Buffer.from([octet]));
      return seen.length;
    });
    expect(seen).toEqual(some);
    expect([13, 14, 22, 23, 331, 332].map((at) => counts[at - 1])).toEqual([0, 1, 1, 2, 2, 3]);
  });

  it('are cut in two at any place', () => {
    for (let at = 0; at <= someBytes.length; at += 1) {
      const { reader, seen } = keeping();
      readOnce(reader, someBytes.subarray(0, at));
      readOnce(reader, someBytes.subarray(at));
      expect(seen).toEqual(some);
    }
  });

  it('begin where it is said, in a chunk that goes on and in one that completes', () => {
    fc.assert(
      fc.property(frames, cuts, fc.nat({ max: 30 }), (frames, lengths, start) => {
        const { reader, seen } = keeping();
        const before = Buffer.alloc(start, 0xff);
        for (const chunk of cut(Buffer.concat(frames.map(encoded)), lengths))
          expect(readOnce(reader, Buffer.concat([before, chunk]), start)).toBe(true);
        expect(seen).toEqual(frames);
      }),
    );
  });

  it('are not copied while they lie in one piece', () => {
    const chunk = Buffer.from(someBytes);
    const held: boolean[] = [];
    const reader = new FrameReader(limit, ({ bytes }) => held.push(bytes === chunk) > 0);
    reader.read(chunk, 0);
    expect(held).toEqual([true, true, true]);
  });

  it('have no reserved bit in their stream', () => {
    const { reader, seen } = keeping();
    const bytes = frame(0, 0, 5);
    bytes[5] = 0x80;
    readOnce(reader, bytes);
    expect(seen[0]?.stream).toBe(5);
  });
});

describe('a frame larger than the limit', () => {
  const head = frame(0, 0, 1, Buffer.alloc(limit + 1)).subarray(0, 9);

  it('ends it without its payload, wherever its head is cut', () => {
    for (let at = 0; at < head.length; at += 1) {
      const { reader, seen } = keeping();
      expect(readOnce(reader, Buffer.concat([someBytes, head.subarray(0, at)]))).toBe(true);
      expect(readOnce(reader, head.subarray(at))).toBe(false);
      expect(seen).toEqual(some);
    }
  });

  it('ends it with its payload too, and nothing after it is read', () => {
    const { reader, seen } = keeping();
    const bytes = Buffer.concat([encoded(some[0] ?? frameOf(0)), encoded(frameOf(limit + 1)), someBytes]);
    expect(readOnce(reader, bytes)).toBe(false);
    expect(seen).toEqual(some.slice(0, 1));
  });

  it.each([
    [0x00, 0x01, 0x2c, true],
    [0x00, 0x01, 0x2d, false],
    [0x00, 0x02, 0x00, false],
    [0x01, 0x00, 0x00, false],
    [0xff, 0xff, 0xff, false],
  ])('is known by all octets of its length: %i %i %i', (high, middle, low, isTaken) => {
    const { reader } = keeping();
    expect(readOnce(reader, Buffer.from([high, middle, low, 0, 0, 0, 0, 0, 1]))).toBe(isTaken);
  });
});

describe('a handler that wants no more', () => {
  it('gets no more, neither of this chunk nor of later ones', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { minLength: 2, maxLength: 8 }),
        cuts,
        fc.nat(),
        (frames, lengths, some) => {
          const most = 1 + (some % (frames.length - 1));
          const { reader, seen } = keeping(most);
          for (const chunk of cut(Buffer.concat(frames.map(encoded)), lengths)) readOnce(reader, chunk);
          expect(seen).toEqual(frames.slice(0, most));
        },
      ),
    );
  });

  it('is not told of a frame that is too large after that', () => {
    const { reader, seen } = keeping(1);
    expect(readOnce(reader, Buffer.concat([encoded(frameOf(1)), encoded(frameOf(limit + 1))]))).toBe(true);
    expect(seen).toHaveLength(1);
  });
});

function frameOf(length: number): SeenFrame {
  return { type: 0, flags: 0, stream: 1, payload: Buffer.alloc(length) };
}
