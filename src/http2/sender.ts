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
import type { QueuedFrame, ServerStream } from './server-stream.ts';

const windowTooLarge: ConnectionError = {
  code: errorCodes.flowControlError,
  message: 'send window above 2^31 - 1',
};

export type SenderOptions = {
  readonly output: Output;
  readonly encoder: HeaderEncoder;
  /** END_STREAM was sent. */
  onEndSent(stream: ServerStream): void;
  /** The memory share has no room for bytes that would have to be queued. */
  onQueueFull(stream: ServerStream): void;
};

/** The memory that a queued frame takes in addition to its bytes. */
const queuedFrameOverhead = 512;

/**
 * Sends responses as far as the client's windows and the socket allow, and queues the rest. Every queue is
 * counted in the connection's memory share. RFC 9113 §5.2.
 */
export class Sender {
  readonly #options: SenderOptions;
  readonly #output: Output;
  readonly #encoder: HeaderEncoder;
  /** Streams with an open window, whose queue waits for the connection's window or the socket. */
  readonly #ready = new Set<ServerStream>();
  /** The connection's send window; bytes. */
  #window = initialWindow;
  #maxFrame = frameLimit;
  /** The send window of a new stream; bytes. */
  initialStreamWindow = initialWindow;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#output = options.output;
    this.#encoder = options.encoder;
    this.#output.onDrain = () => this.#sendReady();
  }

  sendHeaders(stream: ServerStream, list: HeaderList, endStream: boolean): void {
    if (stream.sendQueue === undefined) this.#writeHeaders(stream, list, endStream);
    else stream.sendQueue.push({ kind: 'headers', list, endStream });
  }

  sendData(stream: ServerStream, bytes: Buffer): void {
    const { length } = bytes;
    const fits = length <= this.#window && length <= stream.sendWindow && !this.#output.isFull;
    if (stream.sendQueue === undefined && fits && length <= this.#maxFrame)
      return this.#writeData(stream, bytes, 0, length);
    const reserved = length + queuedFrameOverhead;
    if (!stream.connection.share.reserve(reserved)) return this.#options.onQueueFull(stream);
    stream.queuedBytes += reserved;
    if (stream.sendQueue === undefined) {
      stream.sendQueue = [];
      stream.queuedAtSweep = stream.connection.sweeps;
    }
    stream.sendQueue.push({ kind: 'data', bytes, sent: 0 });
    this.#sendQueued(stream);
  }

  /** A WINDOW_UPDATE for the connection. */
  increaseConnectionWindow(increment: number): ConnectionError | undefined {
    if (increment === 0) return protocolError('WINDOW_UPDATE with an increment of 0');
    this.#window += increment;
    if (this.#window > largestWindow) return windowTooLarge;
    this.#sendReady();
    return undefined;
  }

  /** A WINDOW_UPDATE for a stream. @returns the code of a stream error */
  increaseStreamWindow(stream: ServerStream, increment: number): number | undefined {
    if (increment === 0) return errorCodes.protocolError;
    stream.sendWindow += increment;
    if (stream.sendWindow > largestWindow) return errorCodes.flowControlError;
    this.#sendQueued(stream);
    return undefined;
  }

  /**
   * RFC 9113 §6.9.2: a change of the initial window moves the windows of all open streams, even below zero.
   */
  apply(
    { maxFrame, initialWindow: window }: PeerSettings,
    allStreams: () => readonly ServerStream[],
  ): ConnectionError | undefined {
    if (maxFrame !== undefined) this.#maxFrame = maxFrame;
    // A client that repeats its settings must not cost a walk over all streams each time.
    if (window === undefined || window === this.initialStreamWindow) return undefined;
    const change = window - this.initialStreamWindow;
    this.initialStreamWindow = window;
    const streams = allStreams();
    for (const stream of streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > largestWindow) return windowTooLarge;
    }
    for (const stream of streams) this.#sendQueued(stream);
    return undefined;
  }

  /** Drops what the stream has queued. */
  discardQueue(stream: ServerStream): void {
    stream.sendQueue = undefined;
    stream.connection.share.release(stream.queuedBytes);
    stream.queuedBytes = 0;
    this.#ready.delete(stream);
  }

  #sendReady(): void {
    for (const stream of this.#ready) {
      if (this.#window <= 0 || this.#output.isFull) break;
      this.#sendQueued(stream);
    }
  }

  #sendQueued(stream: ServerStream): void {
    const queue = stream.sendQueue;
    if (queue === undefined) return;
    while (this.#sendFirst(stream, queue)) queue.shift();
    if (queue.length === 0) {
      this.discardQueue(stream);
      if (!stream.isLocalClosed) stream.onQueueSent();
    } else if (stream.sendWindow > 0) this.#ready.add(stream);
    else this.#ready.delete(stream);
  }

  /** @returns true when the first frame was sent completely */
  #sendFirst(stream: ServerStream, [first]: readonly QueuedFrame[]): boolean {
    if (first === undefined) return false;
    if (first.kind === 'headers') {
      this.#writeHeaders(stream, first.list, first.endStream);
      return true;
    }
    while (first.sent < first.bytes.length) {
      const rest = first.bytes.length - first.sent;
      const length = Math.min(rest, this.#window, stream.sendWindow, this.#maxFrame);
      if (length <= 0 || this.#output.isFull) return false;
      this.#writeData(stream, first.bytes, first.sent, first.sent + length);
      first.sent += length;
    }
    return true;
  }

  #writeHeaders(stream: ServerStream, list: HeaderList, endStream: boolean): void {
    const block = this.#encoder.encode(list);
    const { length } = block;
    const at = this.#output.reserve(frameHeadBytes + length);
    const flags = frameFlags.endHeaders | (endStream ? frameFlags.endStream : 0);
    writeFrameHead(this.#output.buffer, at, { length, type: frameTypes.headers, flags, stream: stream.id });
    // A cached block has a byte per field. For so few, a loop is cheaper than a call into native code.
    if (length < 8)
      for (let index = 0; index < length; index += 1)
        this.#output.buffer[at + frameHeadBytes + index] = block[index] ?? 0;
    else this.#output.buffer.set(block, at + frameHeadBytes);
    if (endStream) this.#options.onEndSent(stream);
  }

  #writeData(stream: ServerStream, bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    const at = this.#output.reserve(frameHeadBytes + length);
    writeFrameHead(this.#output.buffer, at, { length, type: frameTypes.data, flags: 0, stream: stream.id });
    bytes.copy(this.#output.buffer, at + frameHeadBytes, start, end);
    this.#window -= length;
    stream.sendWindow -= length;
  }
}
