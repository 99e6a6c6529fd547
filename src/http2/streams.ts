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
import { areTrailers, type RequestHead } from './request-head.ts';
import { Sender } from './sender.ts';
import type { ServerConnection, ServerStream } from './server-stream.ts';
import { StreamTable } from './stream-table.ts';

/** The connection that the streams are of. */
export type StreamsHost = {
  readonly connection: ServerConnection;
  readonly output: Output;
  readonly control: ControlFrames;
  readonly encoder: HeaderEncoder;
  fail(error: ConnectionError): void;
  /** Counts a frame that asks for nothing. @returns false when it was one too many: the connection is over */
  strike(): boolean;
  /** The last open stream is over. */
  onEmpty(): void;
};

/** What an open stream takes of memory; octets, measured. */
const streamBytes = 512;

/** The streams of a connection, and the frames that are about one. RFC 9113 §5, §8.1. */
export class Streams {
  readonly #host: StreamsHost;
  readonly #options: ConnectionOptions;
  readonly #control: ControlFrames;
  readonly #sender: Sender;
  readonly #blocks: HeaderBlocks;
  readonly #streams = new StreamTable<ServerStream>();
  /** What the peer may still send, all streams together; octets. */
  #receiveWindow = connectionWindow;
  /** False: further requests are passed over, as their client was told. */
  takesRequests = true;
  /** So far. */
  requests = 0;
  /** RFC 9113 §6.8: what a client was told is not to grow. */
  #lastTaken = 0;

  constructor(host: StreamsHost, options: ConnectionOptions) {
    this.#host = host;
    this.#options = options;
    this.#control = host.control;
    this.#sender = new Sender({
      output: host.output,
      encoder: host.encoder,
      onSent: (stream) => this.#sent(stream),
      onTooMuch: (stream) => this.#end(stream, errorCodes.enhanceYourCalm),
    });
    this.#blocks = new HeaderBlocks(options.headerBounds);
  }

  get open(): number {
    return this.#streams.size;
  }

  /** The highest id of those that were not passed over. */
  get last(): number {
    return this.#lastTaken;
  }

  /** Nothing but CONTINUATION may come. */
  get isInHeaderBlock(): boolean {
    return this.#blocks.isOpen;
  }

  /** Of a new stream; octets. */
  get initialSendWindow(): number {
    return this.#sender.initialStreamWindow;
  }

  sendHeaders(stream: ServerStream, list: HeaderList, endStream: boolean): void {
    if (!stream.isLocalClosed) this.#sender.headers(stream, list, endStream);
  }

  sendData(stream: ServerStream, bytes: Buffer): void {
    if (!stream.isLocalClosed) this.#sender.data(stream, bytes);
  }

  apply(settings: PeerSettings): ConnectionError | undefined {
    return this.#sender.apply(settings, () => this.#streams.all());
  }

  /** Tells those whose client has been sending since before `round`, and ends those whose answer it hasn't taken since. */
  tellOverdue(round: number): void {
    for (const stream of this.#streams.all())
      if (stream.waiting !== undefined && stream.waitingSince < round) this.#end(stream, errorCodes.cancel);
      else if (!stream.isRemoteClosed && stream.round < round) stream.onOverdue();
  }

  /** Ends all without a word. */
  drop(): void {
    const streams = this.#streams.all();
    this.#streams.clear();
    this.#host.connection.share.giveBack(streams.length * streamBytes);
    for (const stream of streams) {
      stream.isLocalClosed = true;
      stream.isRemoteClosed = true;
      this.#sender.forget(stream);
      stream.onReset();
    }
  }

  takeData({ bytes, start, end, flags, stream: id }: Frame): void {
    const length = end - start;
    this.#receiveWindow -= length;
    // Opened again at once, so nobody can be beyond it.
    if (this.#receiveWindow < connectionWindow / 2) {
      this.#control.windowUpdate(0, connectionWindow - this.#receiveWindow);
      this.#receiveWindow = connectionWindow;
    }
    const isPadded = (flags & frameFlags.padded) !== 0;
    const from = isPadded ? start + 1 : start;
    const to = isPadded ? end - (bytes[start] ?? 0) : end;
    if (to < from) return this.#host.fail(protocolError('more padding than data'));
    const stream = this.#streams.get(id);
    const endStream = (flags & frameFlags.endStream) !== 0;
    if (stream === undefined || stream.isRemoteClosed) return this.#takeLate(id, stream, endStream);
    if (from === to && !endStream && !this.#host.strike()) return;
    stream.received += length;
    if (stream.received > this.#options.streamWindow)
      return this.#giveUp(stream, errorCodes.flowControlError);
    if (stream.announced >= 0 && (stream.announced -= to - from) < 0)
      return this.#giveUp(stream, errorCodes.protocolError);
    if (endStream && !this.#closeRemote(stream)) return;
    if (from < to) stream.onData(bytes.subarray(from, to), endStream);
    if (endStream && !stream.isLocalClosed) stream.onEnd();
  }

  /** Data for a stream whose client had said all, or that is over: it may have been under way when we ended it. */
  #takeLate(id: number, stream: ServerStream | undefined, endStream: boolean): void {
    if (this.#streams.isIdle(id))
      return this.#host.fail(protocolError('data for a stream that was not opened'));
    if (stream !== undefined) return this.#giveUp(stream, errorCodes.streamClosed);
    // What ends it was under way when we did: each request has that once.
    if (endStream && this.#streams.forgive(id)) return;
    if (this.#host.strike() && !this.#streams.isAbandoned(id))
      this.#control.resetStream(id, errorCodes.streamClosed);
  }

  takeHeaders(frame: Frame): void {
    const block = this.#blocks.take(frame);
    if (block === undefined) return;
    if ('code' in block) return this.#host.fail(block);
    const { stream: id, endStream, fields } = block;
    const stream = this.#streams.get(id);
    if (stream !== undefined) {
      if (stream.isRemoteClosed) return this.#giveUp(stream, errorCodes.streamClosed);
      if (!endStream || fields === 'too_large' || !areTrailers(fields))
        return this.#giveUp(stream, errorCodes.protocolError);
      if (this.#closeRemote(stream)) stream.onEnd();
      return;
    }
    if (this.#streams.isAbandoned(id)) return void this.#host.strike();
    if (id % 2 === 0) return this.#host.fail(protocolError('a request with an even stream id'));
    if (id <= this.#streams.last)
      return this.#host.fail({
        code: errorCodes.streamClosed,
        message: 'a request on a stream that is over',
      });
    this.#streams.last = id;
    this.#open(block);
  }

  #open({ stream: id, endStream, fields, head }: HeaderBlock): void {
    this.requests += 1;
    if (!this.takesRequests) return this.#streams.abandon(id);
    this.#lastTaken = id;
    if (fields === 'too_large') return this.#refuse(id, errorCodes.enhanceYourCalm);
    if (head === undefined) return this.#refuse(id, errorCodes.protocolError);
    if (this.#streams.size >= this.#options.maxConcurrentStreams) {
      if (this.#host.strike()) this.#reset(id, errorCodes.refusedStream);
      return;
    }
    // Others may have taken what there is, so this is no strike.
    if (!this.#host.connection.share.take(streamBytes)) return this.#reset(id, errorCodes.refusedStream);
    const stream = this.#make(id, head);
    stream.announced = head.contentLength ?? -1;
    this.#streams.add(stream);
    if (endStream && !this.#closeRemote(stream)) return;
    stream.onHead();
    if (endStream && !stream.isLocalClosed) stream.onEnd();
  }

  /** A defect in it must not leave it counted. */
  #make(id: number, head: RequestHead): ServerStream {
    const { connection } = this.#host;
    try {
      return this.#options.open(connection, id, head);
    } catch (thrown) {
      connection.share.giveBack(streamBytes);
      throw thrown;
    }
  }

  takeWindow(id: number, increment: number): void {
    if (id === 0) {
      const error = this.#sender.openConnection(increment);
      return error === undefined ? undefined : this.#host.fail(error);
    }
    const stream = this.#streams.get(id);
    if (stream !== undefined) {
      const code = this.#sender.openStream(stream, increment);
      if (code !== undefined) this.#giveUp(stream, code);
    } else if (this.#streams.isIdle(id))
      this.#host.fail(protocolError('a window for a stream that was not opened'));
  }

  takeReset(id: number): void {
    if (this.#streams.isIdle(id))
      return this.#host.fail(protocolError('a reset of a stream that was not opened'));
    this.#host.strike();
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#forget(stream);
    stream.onReset();
  }

  /** The client has sent all. @returns false if that is less than it announced: RFC 9113 §8.1.1 */
  #closeRemote(stream: ServerStream): boolean {
    const isAll = stream.announced <= 0;
    if (isAll) stream.isRemoteClosed = true;
    else this.#giveUp(stream, errorCodes.protocolError);
    return isAll;
  }

  #sent(stream: ServerStream): void {
    // RFC 9113 §8.1: the response is whole, and the rest of the request isn't wanted.
    if (!stream.isRemoteClosed) this.#reset(stream.id, errorCodes.noError);
    this.#forget(stream);
  }

  /** For a mistake of the client's. */
  #giveUp(stream: ServerStream, code: number): void {
    if (this.#host.connection.mistake()) this.#end(stream, code);
  }

  #end(stream: ServerStream, code: number): void {
    this.#reset(stream.id, code);
    this.#forget(stream);
    stream.onReset();
  }

  #refuse(id: number, code: number): void {
    if (this.#host.connection.mistake()) this.#reset(id, code);
  }

  #reset(id: number, code: number): void {
    this.#streams.abandon(id);
    this.#control.resetStream(id, code);
  }

  #forget(stream: ServerStream): void {
    stream.isLocalClosed = true;
    stream.isRemoteClosed = true;
    this.#streams.delete(stream);
    this.#host.connection.share.giveBack(streamBytes);
    if (stream.waiting !== undefined) this.#sender.forget(stream);
    if (this.#streams.size === 0) this.#host.onEmpty();
  }
}
