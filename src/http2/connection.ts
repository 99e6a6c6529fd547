import type { Socket } from 'node:net';
import {
  closeTimeoutMs,
  connectionWindow,
  drainPingTimeoutMs,
  errorCloseTimeoutMs,
  type ConnectionOptions,
} from './connection-options.ts';
import { ControlFrames } from './control-frames.ts';
import { protocolError, validateFrame, type ConnectionError } from './frame-validation.ts';
import { FrameReader, type Frame } from './frame-reader.ts';
import {
  errorCodes,
  frameFlags,
  frameLimit,
  frameTypes,
  initialWindow,
  largestStreamId,
  largestWindow,
  preface,
  settingIds,
} from './frames.ts';
import { HeaderEncoder, type HeaderList } from './header-encoder.ts';
import type { MemoryShare } from './memory-budget.ts';
import { Output } from './output.ts';
import { readSettings } from './peer-settings.ts';
import { Pings } from './pings.ts';
import { RateLimit } from './rate-limit.ts';
import type { ServerConnection, ServerStream } from './server-stream.ts';
import { readIntoBuffer } from './socket-reads.ts';
import { Streams } from './streams.ts';

/**
 * The server's side of one HTTP/2 connection with prior knowledge. It never pushes, ignores priorities and
 * does not upgrade from HTTP/1.1. Every connection error of RFC 9113 ends it with GOAWAY.
 * @see RFC 9113, and README.md beside this file
 */
export class Connection implements ServerConnection {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #output: Output;
  readonly #control: ControlFrames;
  readonly #pings: Pings;
  readonly #encoder: HeaderEncoder;
  readonly #reader: FrameReader;
  readonly #controlFrameLimit: RateLimit;
  readonly #errorLimit: RateLimit;
  readonly #streams: Streams;
  readonly share: MemoryShare;
  #prefaceBytes = 0;
  /** The number of requests when the client last sent a PING. */
  #requestsAtPing = -1;
  #isFirstFrame = true;
  /**
   * `draining`: the first GOAWAY was sent; `final`: the final one, so the connection ends with its last
   * response.
   */
  #phase: 'open' | 'draining' | 'final' | 'closed' = 'open';
  sweeps = 0;
  idleSince: number;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.idleSince = options.idleOrder.count++;
    this.share = options.budget.share();
    this.#output = new Output(socket);
    this.#control = new ControlFrames(this.#output);
    this.#pings = new Pings(this.#control);
    this.#encoder = new HeaderEncoder(options.repeatedLists);
    this.#controlFrameLimit = new RateLimit(options.controlFrameLimit, options.nowMs);
    this.#errorLimit = new RateLimit(options.errorLimit, options.nowMs);
    this.#streams = new Streams(
      {
        connection: this,
        output: this.#output,
        control: this.#control,
        encoder: this.#encoder,
        fail: (error) => this.#fail(error),
        chargeControlFrame: () => this.#chargeControlFrame(),
        onIdle: () => this.#becomeIdle(),
      },
      options,
    );
    this.#reader = new FrameReader(frameLimit, (frame) => this.#receive(frame));
    this.#control.settings([
      [settingIds.maxConcurrentStreams, options.maxConcurrentStreams],
      [settingIds.initialWindowSize, options.streamWindow],
      [settingIds.maxHeaderListSize, options.headerBounds.maxListBytes],
    ]);
    this.#control.windowUpdate(0, connectionWindow - initialWindow);
    const onBytes = (bytes: Buffer): void => this.#readSafely(bytes);
    if (!readIntoBuffer(socket, options.readBuffer, onBytes)) socket.on('data', onBytes);
    socket.on('end', () => this.#onClientEnd());
    socket.on('close', () => this.#close());
  }

  get initialSendWindow(): number {
    return this.#streams.initialSendWindow;
  }

  get requests(): number {
    return this.#streams.requests;
  }

  get openStreams(): number {
    return this.#streams.open;
  }

  get isPingPending(): boolean {
    return this.#pings.isPending;
  }

  sendHeaders(stream: ServerStream, list: HeaderList, endStream: boolean): void {
    this.#streams.sendHeaders(stream, list, endStream);
  }

  sendData(stream: ServerStream, bytes: Buffer): void {
    this.#streams.sendData(stream, bytes);
  }

  reopenWindow(stream: ServerStream, heldBytes: number): void {
    this.#streams.reopenWindow(stream, heldBytes);
  }

  resetStream(stream: ServerStream, code: number): void {
    this.#streams.resetStream(stream, code);
  }

  drain(): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'draining';
    // RFC 9113 §6.8: requests may be under way. The final GOAWAY names the last of them, once the client has
    // acknowledged a PING that it received after this GOAWAY.
    this.#control.goAway(largestStreamId, errorCodes.noError);
    this.#pings.sendDrain();
    setTimeout(() => this.#sendFinalGoAway(), drainPingTimeoutMs).unref();
  }

  ping(): boolean {
    return this.#phase !== 'closed' && this.#pings.sendKeepalive();
  }

  sweep(): void {
    this.sweeps += 1;
    this.#streams.sweep(this.sweeps - 1);
  }

  destroy(): void {
    this.#socket.destroy();
    this.#close();
  }

  #readSafely(bytes: Buffer): void {
    try {
      this.#read(bytes);
    } catch (thrown) {
      this.destroy();
      this.#options.onFault(thrown);
    }
  }

  #read(bytes: Buffer): void {
    if (this.#phase === 'closed') return;
    let at = 0;
    for (; this.#prefaceBytes < preface.length && at < bytes.length; at += 1, this.#prefaceBytes += 1)
      if (bytes[at] !== preface[this.#prefaceBytes])
        return this.#fail(protocolError('invalid connection preface'));
    if (at === bytes.length) return;
    const isWithinLimit = this.#reader.read(bytes, at);
    if (!isWithinLimit)
      this.#fail({ code: errorCodes.frameSizeError, message: 'frame larger than the limit' });
  }

  /** Handles one frame. @returns false when the connection has ended */
  #receive(frame: Frame): boolean {
    const { type, flags } = frame;
    const error = validateFrame(frame);
    if (error !== undefined) this.#fail(error);
    else if (this.#isFirstFrame && (type !== frameTypes.settings || (flags & frameFlags.ack) !== 0))
      this.#fail(protocolError('first frame is not SETTINGS'));
    else if (this.#streams.isInHeaderBlock && type !== frameTypes.continuation)
      this.#fail(protocolError('frame within a header block'));
    else this.#dispatch(frame);
    this.#isFirstFrame = false;
    return this.#phase !== 'closed';
  }

  #dispatch(frame: Frame): void {
    const { type, bytes, start } = frame;
    if (type === frameTypes.data) this.#streams.receiveData(frame);
    else if (type === frameTypes.headers || type === frameTypes.continuation)
      this.#streams.receiveHeaders(frame);
    else if (type === frameTypes.windowUpdate)
      this.#streams.receiveWindowUpdate(frame.stream, bytes.readUInt32BE(start) & largestWindow);
    else if (type === frameTypes.settings) this.#receiveSettings(frame);
    else if (type === frameTypes.ping) this.#receivePing(frame);
    else if (type === frameTypes.resetStream) this.#streams.receiveReset(frame.stream);
    else if (type === frameTypes.priority && (bytes.readUInt32BE(start) & largestStreamId) === frame.stream)
      this.#fail(protocolError('stream that depends on itself'));
    // PRIORITY, GOAWAY and unknown types (RFC 9113 §4.1) are ignored, but not without limit.
    else this.#chargeControlFrame();
  }

  #receiveSettings(frame: Frame): void {
    if ((frame.flags & frameFlags.ack) !== 0) return;
    if (!this.#isFirstFrame && !this.#chargeControlFrame()) return;
    const settings = readSettings(frame);
    if ('code' in settings) return this.#fail(settings);
    if (settings.headerTableSize !== undefined) this.#encoder.setPeerTableSize(settings.headerTableSize);
    this.#control.acknowledgeSettings();
    const error = this.#streams.apply(settings);
    if (error !== undefined) this.#fail(error);
  }

  #receivePing({ bytes, start, end, flags }: Frame): void {
    const payload = bytes.subarray(start, end);
    if ((flags & frameFlags.ack) === 0) {
      // Some clients measure the round trip with one PING per response, so one PING per request is free.
      const isFree = this.#requestsAtPing !== this.#streams.requests;
      this.#requestsAtPing = this.#streams.requests;
      if (isFree || this.#chargeControlFrame()) this.#control.acknowledgePing(payload);
    } else if (this.#pings.acknowledge(payload)) this.#sendFinalGoAway();
  }

  chargeError(): boolean {
    return this.#charge(this.#errorLimit, 'rate limit of client errors exceeded');
  }

  #chargeControlFrame(): boolean {
    return this.#charge(this.#controlFrameLimit, 'rate limit of control frames exceeded');
  }

  #charge(limit: RateLimit, message: string): boolean {
    if (limit.take()) return true;
    this.#fail({ code: errorCodes.enhanceYourCalm, message });
    return false;
  }

  #sendFinalGoAway(): void {
    if (this.#phase !== 'draining') return;
    this.#phase = 'final';
    this.#streams.acceptsRequests = false;
    this.#control.goAway(this.#streams.lastAccepted, errorCodes.noError);
    this.#endIfDrained();
  }

  #becomeIdle(): void {
    this.idleSince = this.#options.idleOrder.count++;
    this.#endIfDrained();
  }

  #endIfDrained(): void {
    if (this.#phase !== 'final' || this.#streams.open > 0) return;
    this.#end(closeTimeoutMs);
  }

  #fail({ code, message }: ConnectionError): void {
    if (this.#phase === 'closed') return;
    this.#options.onClientError(message);
    this.#control.goAway(this.#streams.lastAccepted, code);
    this.#end(errorCloseTimeoutMs);
  }

  /** The client has sent FIN: it does not wait for responses that are still missing. */
  #onClientEnd(): void {
    if (this.#phase !== 'closed') this.#end(closeTimeoutMs);
  }

  /**
   * Closes the connection after what was sent. The socket is destroyed if the client has not read it in time.
   */
  #end(timeoutMs: number): void {
    this.#output.end();
    const timer = setTimeout(() => this.#socket.destroy(), timeoutMs).unref();
    this.#socket.once('close', () => clearTimeout(timer));
    this.#close();
  }

  #close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#streams.closeAll();
    this.#output.release();
    this.#reader.release();
    this.#options.onClosed(this);
    this.share.close(() => this.#options.onReleased(this));
  }
}
