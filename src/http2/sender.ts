import { protocolError, type ConnectionError } from './frame-form.ts';
import {
  errorCodes,
  frameFlags,
  frameHeadBytes,
  frameLimit,
  frameTypes,
  initialWindow,
  largestWindow,
  writeFrameHead,
} from './frames.ts';
import type { HeaderEncoder, HeaderList } from './header-encoder.ts';
import type { Output } from './output.ts';
import type { PeerSettings } from './peer-settings.ts';
import type { ServerStream } from './server-stream.ts';

const tooLarge: ConnectionError = {
  code: errorCodes.flowControlError,
  message: 'a window larger than can be',
};

/** Sends responses as far as the peer's windows let it, and the rest when they open. RFC 9113 §5.2. */
export class Sender {
  readonly #output: Output;
  readonly #encoder: HeaderEncoder;
  readonly #onSent: (stream: ServerStream) => void;
  readonly #waiting = new Set<ServerStream>();
  /** The connection's; octets. */
  #window = initialWindow;
  #maxFrame = frameLimit;
  /** Of a new stream; octets. */
  initialStreamWindow = initialWindow;

  /** @param onSent told when the last frame of a response has gone */
  constructor(output: Output, encoder: HeaderEncoder, onSent: (stream: ServerStream) => void) {
    this.#output = output;
    this.#encoder = encoder;
    this.#onSent = onSent;
  }

  headers(stream: ServerStream, list: HeaderList, endStream: boolean): void {
    if (stream.waiting === undefined) this.#writeHeaders(stream, list, endStream);
    else stream.waiting.push({ kind: 'headers', list, endStream });
  }

  data(stream: ServerStream, bytes: Buffer): void {
    const { length } = bytes;
    const fits = length <= this.#window && length <= stream.sendWindow && length <= this.#maxFrame;
    if (stream.waiting === undefined && fits) return this.#writeData(stream, bytes, 0, length);
    stream.waiting ??= [];
    stream.waiting.push({ kind: 'data', bytes, sent: 0 });
    this.#waiting.add(stream);
    this.#pump([stream]);
  }

  /** The peer takes more of all streams together. */
  openConnection(increment: number): ConnectionError | undefined {
    if (increment === 0) return protocolError('a window update of nothing');
    this.#window += increment;
    if (this.#window > largestWindow) return tooLarge;
    this.#pump(this.#waiting);
    return undefined;
  }

  /** The peer takes more of one stream. @returns the code of the stream's error */
  openStream(stream: ServerStream, increment: number): number | undefined {
    if (increment === 0) return errorCodes.protocolError;
    stream.sendWindow += increment;
    if (stream.sendWindow > largestWindow) return errorCodes.flowControlError;
    this.#pump([stream]);
    return undefined;
  }

  /** RFC 9113 §6.9.2: a new first window moves those of all streams, below zero even. */
  apply(
    { maxFrame, initialWindow: window }: PeerSettings,
    streams: Iterable<ServerStream>,
  ): ConnectionError | undefined {
    if (maxFrame !== undefined) this.#maxFrame = maxFrame;
    if (window === undefined) return undefined;
    const change = window - this.initialStreamWindow;
    this.initialStreamWindow = window;
    for (const stream of streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > largestWindow) return tooLarge;
    }
    this.#pump(this.#waiting);
    return undefined;
  }

  #pump(streams: Iterable<ServerStream>): void {
    for (const stream of streams) {
      while (this.#sendFirst(stream)) stream.waiting?.shift();
      if (stream.waiting?.length === 0) this.forget(stream);
    }
  }

  forget(stream: ServerStream): void {
    stream.waiting = undefined;
    this.#waiting.delete(stream);
  }

  /** @returns true when it has gone whole */
  #sendFirst(stream: ServerStream): boolean {
    const part = stream.waiting?.[0];
    if (part === undefined) return false;
    if (part.kind === 'headers') {
      this.#writeHeaders(stream, part.list, part.endStream);
      return true;
    }
    while (part.sent < part.bytes.length) {
      const rest = part.bytes.length - part.sent;
      const length = Math.min(rest, this.#window, stream.sendWindow, this.#maxFrame);
      if (length <= 0) return false;
      this.#writeData(stream, part.bytes, part.sent, part.sent + length);
      part.sent += length;
    }
    return true;
  }

  #writeHeaders(stream: ServerStream, list: HeaderList, endStream: boolean): void {
    const block = this.#encoder.encode(list);
    const { length } = block;
    const at = this.#output.reserve(frameHeadBytes + length);
    const flags = frameFlags.endHeaders | (endStream ? frameFlags.endStream : 0);
    writeFrameHead(this.#output.room, at, { length, type: frameTypes.headers, flags, stream: stream.id });
    if (length < 8)
      for (let index = 0; index < length; index += 1)
        this.#output.room[at + frameHeadBytes + index] = block[index] ?? 0;
    else this.#output.room.set(block, at + frameHeadBytes);
    if (endStream) this.#onSent(stream);
  }

  #writeData(stream: ServerStream, bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    const at = this.#output.reserve(frameHeadBytes + length);
    writeFrameHead(this.#output.room, at, { length, type: frameTypes.data, flags: 0, stream: stream.id });
    bytes.copy(this.#output.room, at + frameHeadBytes, start, end);
    this.#window -= length;
    stream.sendWindow -= length;
  }
}
