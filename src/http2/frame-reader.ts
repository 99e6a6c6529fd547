import { frameHeadBytes } from './frames.ts';

/**
 * One frame. Its payload lies in `bytes` between `start` and `end`, and is valid until the handler returns.
 */
export type Frame = {
  bytes: Buffer;
  start: number;
  end: number;
  type: number;
  flags: number;
  stream: number;
};

/** @returns false to stop reading: the handler is not called again */
export type FrameHandler = (frame: Frame) => boolean;

const nothing: Buffer = Buffer.alloc(0);

/**
 * Splits what a connection receives into frames. Only a frame that spans two chunks is copied, and at most
 * one incomplete frame is kept. All frames are passed to the handler in the same object.
 * @see RFC 9113 §4.1
 */
export class FrameReader {
  readonly #limit: number;
  readonly #handle: FrameHandler;
  readonly #frame: Frame = { bytes: nothing, start: 0, end: 0, type: 0, flags: 0, stream: 0 };
  /** The first `#filled` bytes are the beginning of a frame whose rest has not arrived. */
  #partial = nothing;
  #filled = 0;
  #isEnded = false;

  /** @param limit the largest payload; bytes */
  constructor(limit: number, handle: FrameHandler) {
    this.#limit = limit;
    this.#handle = handle;
  }

  /**
   * Reads a chunk from `start` to its end. The chunk may be overwritten afterwards.
   * @returns false after the head of a frame that is larger than the limit
   */
  read(chunk: Buffer, start: number): boolean {
    let at = this.#filled === 0 ? start : this.#completePartial(chunk, start);
    while (at >= 0 && !this.#isEnded && chunk.length - at >= frameHeadBytes) {
      const length = payloadLength(chunk, at);
      if (length > this.#limit) return false;
      const end = at + frameHeadBytes + length;
      if (end > chunk.length) break;
      this.#emit(chunk, at, end);
      at = end;
    }
    if (at >= 0 && at < chunk.length && !this.#isEnded) this.#fillPartial(chunk, at, chunk.length);
    return at !== oversized;
  }

  /** Releases the buffer. Nothing more is read. */
  release(): void {
    this.#partial = nothing;
    this.#frame.bytes = nothing;
    this.#isEnded = true;
  }

  /** @returns where the next frame begins in the chunk, or `incomplete` or `oversized` */
  #completePartial(chunk: Buffer, start: number): number {
    let at = start;
    if (this.#filled < frameHeadBytes) {
      at = this.#fillPartial(chunk, at, at + frameHeadBytes - this.#filled);
      if (this.#filled < frameHeadBytes) return incomplete;
    }
    const length = payloadLength(this.#partial, 0);
    if (length > this.#limit) return oversized;
    const frameBytes = frameHeadBytes + length;
    at = this.#fillPartial(chunk, at, at + frameBytes - this.#filled);
    if (this.#filled < frameBytes) return incomplete;
    this.#filled = 0;
    this.#emit(this.#partial, 0, frameBytes);
    return at;
  }

  /** Copies from the chunk, up to its end at most. @returns where the copied bytes end */
  #fillPartial(chunk: Buffer, from: number, to: number): number {
    if (this.#partial === nothing) this.#partial = Buffer.allocUnsafeSlow(frameHeadBytes + this.#limit);
    const copied = chunk.copy(this.#partial, this.#filled, from, Math.min(to, chunk.length));
    this.#filled += copied;
    return from + copied;
  }

  #emit(bytes: Buffer, at: number, end: number): void {
    const frame = this.#frame;
    frame.bytes = bytes;
    frame.start = at + frameHeadBytes;
    frame.end = end;
    frame.type = bytes[at + 3] ?? 0;
    frame.flags = bytes[at + 4] ?? 0;
    // The highest bit is reserved and ignored.
    frame.stream = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    this.#isEnded = !this.#handle(frame);
  }
}

const incomplete = -1;
const oversized = -2;

const payloadLength = (bytes: Buffer, at: number): number =>
  (bytes[at] ?? 0) * 65_536 + (bytes[at + 1] ?? 0) * 256 + (bytes[at + 2] ?? 0);
