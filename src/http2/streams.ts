import type { ConnectionOptions } from './connection-options.ts';
import { connectionWindow } from './connection-options.ts';
import type { ControlFrames } from './control-frames.ts';
import { protocolError, type ConnectionError } from './frame-validation.ts';
import type { Frame } from './frame-reader.ts';
import { errorCodes, frameFlags } from './frames.ts';
import { HeaderBlocks, type HeaderBlock } from './header-blocks.ts';
import type { HeaderEncoder, HeaderList } from './header-encoder.ts';
import type { Output } from './output.ts';
import type { PeerSettings } from './peer-settings.ts';
import { areValidTrailers, type RequestHead } from './request-head.ts';
import { Sender } from './sender.ts';
import type { ServerConnection, ServerStream } from './server-stream.ts';
import { StreamTable } from './stream-table.ts';

/** What the streams use of their connection. */
export type StreamsHost = {
  readonly connection: ServerConnection;
  readonly output: Output;
  readonly control: ControlFrames;
  readonly encoder: HeaderEncoder;
  /** Ends the connection with GOAWAY. */
  fail(error: ConnectionError): void;
  /** Charges `controlFrameLimit`. @returns false when it is exceeded: the connection has ended */
  chargeControlFrame(): boolean;
  /** The last open stream has closed. */
  onIdle(): void;
};

/** The memory that an open stream takes, measured; bytes. */
const streamBytes = 512;

/** The streams of a connection, and the frames that belong to one. RFC 9113 §5, §8.1. */
export class Streams {
  readonly #host: StreamsHost;
  readonly #options: ConnectionOptions;
  readonly #control: ControlFrames;
  readonly #sender: Sender;
  readonly #blocks: HeaderBlocks;
  readonly #streams = new StreamTable<ServerStream>();
  /** The connection's receive window; bytes. */
  #receiveWindow = connectionWindow;
  /** False after the final GOAWAY: further requests are ignored, because the client knows that they are. */
  acceptsRequests = true;
  /** Number of requests so far. */
  requests = 0;
  /** RFC 9113 §6.8: the last stream id of GOAWAY must not grow, so ignored requests do not count here. */
  #lastAccepted = 0;

  constructor(host: StreamsHost, options: ConnectionOptions) {
    this.#host = host;
    this.#options = options;
    this.#control = host.control;
    this.#sender = new Sender({
      output: host.output,
      encoder: host.encoder,
      onEndSent: (stream) => this.#finish(stream),
      onQueueFull: (stream) => this.#reset(stream, errorCodes.enhanceYourCalm),
    });
    this.#blocks = new HeaderBlocks(options.headerBounds);
  }

  get open(): number {
    return this.#streams.size;
  }

  /** The last stream id for GOAWAY. */
  get lastAccepted(): number {
    return this.#lastAccepted;
  }

  /** Only CONTINUATION may come. */
  get isInHeaderBlock(): boolean {
    return this.#blocks.isIncomplete;
  }

  /** The send window of a new stream; bytes. */
  get initialSendWindow(): number {
    return this.#sender.initialStreamWindow;
  }

  sendHeaders(stream: ServerStream, list: HeaderList, endStream: boolean): void {
    if (!stream.isLocalClosed) this.#sender.sendHeaders(stream, list, endStream);
  }

  sendData(stream: ServerStream, bytes: Buffer): void {
    if (!stream.isLocalClosed) this.#sender.sendData(stream, bytes);
  }

  /** See `ServerConnection.reopenWindow`. */
  reopenWindow(stream: ServerStream, heldBytes: number): void {
    const increment = stream.receivedBytes - heldBytes;
    if (stream.isRemoteClosed || increment < this.#options.streamWindow / 2) return;
    stream.receivedBytes = heldBytes;
    this.#control.windowUpdate(stream.id, increment);
  }

  resetStream(stream: ServerStream, code: number): void {
    if (!stream.isLocalClosed) this.#reset(stream, code);
  }

  apply(settings: PeerSettings): ConnectionError | undefined {
    return this.#sender.apply(settings, () => this.#streams.all());
  }

  /** See `ServerConnection.sweep`. @param since the number of the previous sweep */
  sweep(since: number): void {
    for (const stream of this.#streams.all())
      if (stream.sendQueue !== undefined && stream.queuedAtSweep < since && !stream.isLongLived)
        this.#reset(stream, errorCodes.cancel);
      else if (!stream.isRemoteClosed && stream.openedAtSweep < since) stream.onRequestTimeout();
  }

  /** Closes every stream without sending anything: the connection has ended. */
  closeAll(): void {
    const streams = this.#streams.all();
    this.#streams.clear();
    this.#host.connection.share.release(streams.length * streamBytes);
    for (const stream of streams) {
      stream.isLocalClosed = true;
      stream.isRemoteClosed = true;
      this.#sender.discardQueue(stream);
      stream.onReset();
    }
  }

  receiveData({ bytes, start, end, flags, stream: id }: Frame): void {
    const length = end - start;
    this.#receiveWindow -= length;
    // The connection's window is reopened at once, whatever its streams do, so no client can exceed it.
    if (this.#receiveWindow < connectionWindow / 2) {
      this.#control.windowUpdate(0, connectionWindow - this.#receiveWindow);
      this.#receiveWindow = connectionWindow;
    }
    const isPadded = (flags & frameFlags.padded) !== 0;
    const from = isPadded ? start + 1 : start;
    const to = isPadded ? end - (bytes[start] ?? 0) : end;
    if (to < from) return this.#host.fail(protocolError('DATA with more padding than payload'));
    const stream = this.#streams.get(id);
    const endStream = (flags & frameFlags.endStream) !== 0;
    if (stream === undefined || stream.isRemoteClosed) return this.#receiveLateData(id, stream, endStream);
    if (from === to && !endStream && !this.#host.chargeControlFrame()) return;
    stream.receivedBytes += length;
    if (stream.receivedBytes > this.#options.streamWindow)
      return this.#failStream(stream, errorCodes.flowControlError);
    if (stream.contentLengthLeft >= 0 && (stream.contentLengthLeft -= to - from) < 0)
      return this.#failStream(stream, errorCodes.protocolError);
    if (endStream && !this.#closeRemote(stream)) return;
    if (from < to) stream.onData(bytes.subarray(from, to), endStream);
    if (endStream && !stream.isLocalClosed) stream.onEnd();
  }

  /** DATA after END_STREAM or on a closed stream. It may have been under way when we closed the stream. */
  #receiveLateData(id: number, stream: ServerStream | undefined, endStream: boolean): void {
    if (this.#streams.isIdle(id)) return this.#host.fail(protocolError('DATA on an idle stream'));
    if (stream !== undefined) return this.#failStream(stream, errorCodes.streamClosed);
    // Every stream that we closed early has one frame with END_STREAM to come, which is free.
    if (endStream && this.#streams.deleteClosedEarly(id)) return;
    if (this.#host.chargeControlFrame() && !this.#streams.isClosedEarly(id))
      this.#control.resetStream(id, errorCodes.streamClosed);
  }

  /** HEADERS or CONTINUATION. */
  receiveHeaders(frame: Frame): void {
    const block = this.#blocks.receive(frame);
    if (block === undefined) return;
    if ('code' in block) return this.#host.fail(block);
    const { stream: id, endStream, fields } = block;
    const stream = this.#streams.get(id);
    if (stream !== undefined) {
      if (stream.isRemoteClosed) return this.#failStream(stream, errorCodes.streamClosed);
      if (!endStream || fields === 'too_large' || !areValidTrailers(fields))
        return this.#failStream(stream, errorCodes.protocolError);
      if (this.#closeRemote(stream)) stream.onEnd();
      return;
    }
    if (this.#streams.isClosedEarly(id)) return void this.#host.chargeControlFrame();
    if (id % 2 === 0) return this.#host.fail(protocolError('request with an even stream id'));
    if (id <= this.#streams.lastOpened)
      return this.#host.fail({ code: errorCodes.streamClosed, message: 'request on a closed stream' });
    this.#streams.lastOpened = id;
    this.#open(block);
  }

  #open({ stream: id, endStream, fields, head }: HeaderBlock): void {
    this.requests += 1;
    if (!this.acceptsRequests) return this.#streams.addClosedEarly(id);
    this.#lastAccepted = id;
    if (fields === 'too_large') return this.#rejectRequest(id, errorCodes.enhanceYourCalm);
    if (head === undefined) return this.#rejectRequest(id, errorCodes.protocolError);
    if (this.#streams.size >= this.#options.maxConcurrentStreams) {
      if (this.#host.chargeControlFrame()) this.#sendReset(id, errorCodes.refusedStream);
      return;
    }
    // Not charged: it may be other clients that use the memory.
    if (!this.#host.connection.share.reserve(streamBytes))
      return this.#sendReset(id, errorCodes.refusedStream);
    const stream = this.#createStream(id, head);
    stream.contentLengthLeft = head.contentLength ?? -1;
    this.#streams.add(stream);
    if (endStream && !this.#closeRemote(stream)) return;
    stream.onHead();
    if (endStream && !stream.isLocalClosed) stream.onEnd();
  }

  #createStream(id: number, head: RequestHead): ServerStream {
    const { connection } = this.#host;
    try {
      return this.#options.createStream(connection, id, head);
    } catch (thrown) {
      connection.share.release(streamBytes);
      throw thrown;
    }
  }

  receiveWindowUpdate(id: number, increment: number): void {
    if (id === 0) {
      const error = this.#sender.increaseConnectionWindow(increment);
      return error === undefined ? undefined : this.#host.fail(error);
    }
    const stream = this.#streams.get(id);
    if (stream !== undefined) {
      const code = this.#sender.increaseStreamWindow(stream, increment);
      if (code !== undefined) this.#failStream(stream, code);
    } else if (this.#streams.isIdle(id)) this.#host.fail(protocolError('WINDOW_UPDATE on an idle stream'));
  }

  receiveReset(id: number): void {
    if (this.#streams.isIdle(id)) return this.#host.fail(protocolError('RST_STREAM on an idle stream'));
    const stream = this.#streams.get(id);
    if (stream?.isLongLived !== true && !this.#host.chargeControlFrame()) return;
    if (stream === undefined) return;
    this.#close(stream);
    stream.onReset();
  }

  /**
   * END_STREAM has arrived.
   * @returns false, and fails the stream, when its body is too short: RFC 9113 §8.1.1
   */
  #closeRemote(stream: ServerStream): boolean {
    const isComplete = stream.contentLengthLeft <= 0;
    if (isComplete) stream.isRemoteClosed = true;
    else this.#failStream(stream, errorCodes.protocolError);
    return isComplete;
  }

  /** END_STREAM was sent. */
  #finish(stream: ServerStream): void {
    // RFC 9113 §8.1: asks the client not to send the rest of its request.
    if (!stream.isRemoteClosed) this.#sendReset(stream.id, errorCodes.noError);
    this.#close(stream);
  }

  /** A stream error (RFC 9113 §5.4.2), charged to `errorLimit`. */
  #failStream(stream: ServerStream, code: number): void {
    if (this.#host.connection.chargeError()) this.#reset(stream, code);
  }

  #reset(stream: ServerStream, code: number): void {
    this.#sendReset(stream.id, code);
    this.#close(stream);
    stream.onReset();
  }

  /** A stream error of a request that has no stream yet. */
  #rejectRequest(id: number, code: number): void {
    if (this.#host.connection.chargeError()) this.#sendReset(id, code);
  }

  #sendReset(id: number, code: number): void {
    this.#streams.addClosedEarly(id);
    this.#control.resetStream(id, code);
  }

  #close(stream: ServerStream): void {
    stream.isLocalClosed = true;
    stream.isRemoteClosed = true;
    this.#streams.delete(stream);
    this.#host.connection.share.release(streamBytes);
    if (stream.sendQueue !== undefined) this.#sender.discardQueue(stream);
    if (this.#streams.size === 0) this.#host.onIdle();
  }
}
