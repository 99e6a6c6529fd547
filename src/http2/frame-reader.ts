import { frameHeadBytes } from './frames.ts';

/** One frame, valid until the handler returns; its payload lies between `start` and `end` of `bytes`. */
export type Frame = {
  bytes: Buffer;
  start: number;
  end: number;
  type: number;
  flags: number;
  stream: number;
};

/** @returns false when nothing further is to be read */
export type FrameHandler = (frame: Frame) => boolean;

const nothing: Buffer = Buffer.alloc(0);

/**
 * Cuts what arrives into frames, without copying but for a frame that lies in two pieces. Keeps one frame at most.
 * @see RFC 9113 §4.1
 */
export class FrameReader {
  readonly #limit: number;
  readonly #handle: FrameHandler;
  readonly #frame: Frame = { bytes: nothing, start: 0, end: 0, type: 0, flags: 0, stream: 0 };
  /** Room for a frame of which only the beginning is here. */
  #partial = nothing;
  #filled = 0;
  #isEnded = false;

  /** @param limit of a payload; octets */
  constructor(limit: number, handle: FrameHandler) {
    this.#limit = limit;
    this.#handle = handle;
  }

  /**
   * Takes what has arrived, from `start` on; it may be used for something else afterwards.
   * @returns false after a frame larger than the limit, whose payload isn't waited for
   */
  read(chunk: Buffer, start: number): boolean {
    let at = this.#filled === 0 ? start : this.#complete(chunk, start);
    while (at >= 0 && !this.#isEnded && chunk.length - at >= frameHeadBytes) {
      const length = payloadLength(chunk, at);
      if (length > this.#limit) return false;
      const end = at + frameHeadBytes + length;
      if (end > chunk.length) break;
      this.#pass(chunk, at, end);
      at = end;
    }
    if (at >= 0 && at < chunk.length && !this.#isEnded) this.#fill(chunk, at, chunk.length);
    return at !== oversized;
  }

  /** Lets go of what it keeps: nothing more is read. */
  drop(): void {
    this.#partial = nothing;
    this.#frame.bytes = nothing;
    this.#isEnded = true;
  }

  /** @returns where the next frame begins, or `incomplete` or `oversized` */
  #complete(chunk: Buffer, start: number): number {
    let at = start;
    if (this.#filled < frameHeadBytes) {
      at = this.#fill(chunk, at, at + frameHeadBytes - this.#filled);
      if (this.#filled < frameHeadBytes) return incomplete;
    }
    const length = payloadLength(this.#partial, 0);
    if (length > this.#limit) return oversized;
    const whole = frameHeadBytes + length;
    at = this.#fill(chunk, at, at + whole - this.#filled);
    if (this.#filled < whole) return incomplete;
    this.#filled = 0;
    this.#pass(this.#partial, 0, whole);
    return at;
  }

  /** @returns up to where it has taken the chunk */
  #fill(chunk: Buffer, from: number, to: number): number {
    if (this.#partial === nothing) this.#partial = Buffer.allocUnsafeSlow(frameHeadBytes + this.#limit);
    const taken = chunk.copy(this.#partial, this.#filled, from, Math.min(to, chunk.length));
    this.#filled += taken;
    return from + taken;
  }

  #pass(bytes: Buffer, at: number, end: number): void {
    const frame = this.#frame;
    frame.bytes = bytes;
    frame.start = at + frameHeadBytes;
    frame.end = end;
    frame.type = bytes[at + 3] ?? 0;
    frame.flags = bytes[at + 4] ?? 0;
    frame.stream = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    this.#isEnded = !this.#handle(frame);
  }
}

const incomplete = -1;
const oversized = -2;

const payloadLength = (bytes: Buffer, at: number): number =>
  (bytes[at] ?? 0) * 65_536 + (bytes[at + 1] ?? 0) * 256 + (bytes[at + 2] ?? 0);
