import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader } from '../../src/http2/frame-reader.ts';
import { frame, type SeenFrame } from './raw-client.ts';

const limit = 300;

/** A reader whose handler copies every frame, and stops after `most` frames. */
function recordingReader(most = Infinity): { reader: FrameReader; seen: SeenFrame[] } {
  const seen: SeenFrame[] = [];
  const reader = new FrameReader(limit, ({ bytes, start, end, type, flags, stream }) => {
    seen.push({ type, flags, stream, payload: Buffer.from(bytes.subarray(start, end)) });
    return seen.length < most;
  });
  return { reader, seen };
}

/** Reads a copy of the chunk, and overwrites it afterwards. */
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

describe('a frame reader', () => {
  it('emits the same frames however the bytes are split into chunks', () => {
    fc.assert(
      fc.property(frames, cuts, (frames, lengths) => {
        const { reader, seen } = recordingReader();
        for (const chunk of cut(Buffer.concat(frames.map(encoded)), lengths))
          expect(readOnce(reader, chunk)).toBe(true);
        expect(seen).toEqual(frames);
      }),
      { numRuns: 2000 },
    );
  });

  it('emits each frame with its last byte when bytes arrive one by one', () => {
    const { reader, seen } = recordingReader();
    const counts = [...someBytes].map((byte) => {
      readOnce(reader, Buffer.from([byte]));
      return seen.length;
    });
    expect(seen).toEqual(some);
    expect([13, 14, 22, 23, 331, 332].map((at) => counts[at - 1])).toEqual([0, 1, 1, 2, 2, 3]);
  });

  it('handles a split at any place', () => {
    for (let at = 0; at <= someBytes.length; at += 1) {
      const { reader, seen } = recordingReader();
      readOnce(reader, someBytes.subarray(0, at));
      readOnce(reader, someBytes.subarray(at));
      expect(seen).toEqual(some);
    }
  });

  it('begins at `start`, in a fresh chunk and in one that completes a frame', () => {
    fc.assert(
      fc.property(frames, cuts, fc.nat({ max: 30 }), (frames, lengths, start) => {
        const { reader, seen } = recordingReader();
        const before = Buffer.alloc(start, 0xff);
        for (const chunk of cut(Buffer.concat(frames.map(encoded)), lengths))
          expect(readOnce(reader, Buffer.concat([before, chunk]), start)).toBe(true);
        expect(seen).toEqual(frames);
      }),
    );
  });

  it('does not copy a frame that lies in one chunk', () => {
    const chunk = Buffer.from(someBytes);
    const held: boolean[] = [];
    const reader = new FrameReader(limit, ({ bytes }) => held.push(bytes === chunk) > 0);
    reader.read(chunk, 0);
    expect(held).toEqual([true, true, true]);
  });

  it('ignores the reserved bit of the stream id', () => {
    const { reader, seen } = recordingReader();
    const bytes = frame(0, 0, 5);
    bytes[5] = 0x80;
    readOnce(reader, bytes);
    expect(seen[0]?.stream).toBe(5);
  });
});

describe('a frame larger than the limit', () => {
  const head = frame(0, 0, 1, Buffer.alloc(limit + 1)).subarray(0, 9);

  it('is refused by its head alone, wherever the head is split', () => {
    for (let at = 0; at < head.length; at += 1) {
      const { reader, seen } = recordingReader();
      expect(readOnce(reader, Buffer.concat([someBytes, head.subarray(0, at)]))).toBe(true);
      expect(readOnce(reader, head.subarray(at))).toBe(false);
      expect(seen).toEqual(some);
    }
  });

  it('is refused with its payload, and nothing after it is read', () => {
    const { reader, seen } = recordingReader();
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
  ])('is recognised by all three length bytes: %i %i %i', (high, middle, low, isTaken) => {
    const { reader } = recordingReader();
    expect(readOnce(reader, Buffer.from([high, middle, low, 0, 0, 0, 0, 0, 1]))).toBe(isTaken);
  });
});

describe('a handler that returns false', () => {
  it('gets no more frames, of this chunk or of later ones', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { minLength: 2, maxLength: 8 }),
        cuts,
        fc.nat(),
        (frames, lengths, some) => {
          const most = 1 + (some % (frames.length - 1));
          const { reader, seen } = recordingReader(most);
          for (const chunk of cut(Buffer.concat(frames.map(encoded)), lengths)) readOnce(reader, chunk);
          expect(seen).toEqual(frames.slice(0, most));
        },
      ),
    );
  });

  it('is not followed by an error for an oversized frame', () => {
    const { reader, seen } = recordingReader(1);
    expect(readOnce(reader, Buffer.concat([encoded(frameOf(1)), encoded(frameOf(limit + 1))]))).toBe(true);
    expect(seen).toHaveLength(1);
  });
});

function frameOf(length: number): SeenFrame {
  return { type: 0, flags: 0, stream: 1, payload: Buffer.alloc(length) };
}
