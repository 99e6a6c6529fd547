import { protocolError, type ConnectionError } from './frame-validation.ts';
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
import type { Part, ServerStream } from './server-stream.ts';

const tooLarge: ConnectionError = {
  code: errorCodes.flowControlError,
  message: 'a window larger than can be',
};

export type SenderOptions = {
  readonly output: Output;
  readonly encoder: HeaderEncoder;
  /** The last frame of a response has gone. */
  onSent(stream: ServerStream): void;
  /** The connection's share has no room for what would have to wait. */
  onTooMuch(stream: ServerStream): void;
};

/** What a part that waits costs besides its octets. */
const partBytes = 512;

/** Sends responses as far as the peer's windows let it, and the rest when they open. RFC 9113 §5.2. */
export class Sender {
  readonly #options: SenderOptions;
  readonly #output: Output;
  readonly #encoder: HeaderEncoder;
  /** Those that wait for nothing but the connection: its window, or its socket. */
  readonly #ready = new Set<ServerStream>();
  /** The connection's; octets. */
  #window = initialWindow;
  #maxFrame = frameLimit;
  /** Of a new stream; octets. */
  initialStreamWindow = initialWindow;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#output = options.output;
    this.#encoder = options.encoder;
    this.#output.onSpace = () => this.#goOn();
  }

  headers(stream: ServerStream, list: HeaderList, endStream: boolean): void {
    if (stream.waiting === undefined) this.#writeHeaders(stream, list, endStream);
    else stream.waiting.push({ kind: 'headers', list, endStream });
  }

  data(stream: ServerStream, bytes: Buffer): void {
    const { length } = bytes;
    const isTaken = length <= this.#window && length <= stream.sendWindow && !this.#output.isFull;
    if (stream.waiting === undefined && isTaken && length <= this.#maxFrame)
      return this.#writeData(stream, bytes, 0, length);
    if (!stream.connection.share.take(length + partBytes)) return this.#options.onTooMuch(stream);
    stream.waitingBytes += length + partBytes;
    if (stream.waiting === undefined) {
      stream.waiting = [];
      stream.waitingSince = stream.connection.round;
    }
    stream.waiting.push({ kind: 'data', bytes, sent: 0 });
    this.#advance(stream);
  }

  /** The peer takes more of all streams together. */
  openConnection(increment: number): ConnectionError | undefined {
    if (increment === 0) return protocolError('a window update of nothing');
    this.#window += increment;
    if (this.#window > largestWindow) return tooLarge;
    this.#goOn();
    return undefined;
  }

  #goOn(): void {
    for (const stream of this.#ready) {
      if (this.#window <= 0 || this.#output.isFull) break;
      this.#advance(stream);
    }
  }

  /** The peer takes more of one stream. @returns the code of the stream's error */
  openStream(stream: ServerStream, increment: number): number | undefined {
    if (increment === 0) return errorCodes.protocolError;
    stream.sendWindow += increment;
    if (stream.sendWindow > largestWindow) return errorCodes.flowControlError;
    this.#advance(stream);
    return undefined;
  }

  /** RFC 9113 §6.9.2: a new first window moves those of all streams, below zero even. */
  apply(
    { maxFrame, initialWindow: window }: PeerSettings,
    allStreams: () => readonly ServerStream[],
  ): ConnectionError | undefined {
    if (maxFrame !== undefined) this.#maxFrame = maxFrame;
    // A peer may say the same again and again: that is not to cost a look at each stream.
    if (window === undefined || window === this.initialStreamWindow) return undefined;
    const change = window - this.initialStreamWindow;
    this.initialStreamWindow = window;
    const streams = allStreams();
    for (const stream of streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > largestWindow) return tooLarge;
    }
    for (const stream of streams) this.#advance(stream);
    return undefined;
  }

  #advance(stream: ServerStream): void {
    const parts = stream.waiting;
    if (parts === undefined) return;
    while (this.#sendFirst(stream, parts)) parts.shift();
    if (parts.length === 0) this.forget(stream);
    else if (stream.sendWindow > 0) this.#ready.add(stream);
    else this.#ready.delete(stream);
  }

  forget(stream: ServerStream): void {
    stream.waiting = undefined;
    stream.connection.share.giveBack(stream.waitingBytes);
    stream.waitingBytes = 0;
    this.#ready.delete(stream);
  }

  /** @returns true when it has gone whole */
  #sendFirst(stream: ServerStream, [part]: readonly Part[]): boolean {
    if (part === undefined) return false;
    if (part.kind === 'headers') {
      this.#writeHeaders(stream, part.list, part.endStream);
      return true;
    }
    while (part.sent < part.bytes.length) {
      const rest = part.bytes.length - part.sent;
      const length = Math.min(rest, this.#window, stream.sendWindow, this.#maxFrame);
      if (length <= 0 || this.#output.isFull) return false;
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
    if (endStream) this.#options.onSent(stream);
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
