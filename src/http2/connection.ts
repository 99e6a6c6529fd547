import type { Socket } from 'node:net';
import { closingMs, connectionWindow, patienceMs, type ConnectionOptions } from './connection-options.ts';
import { ControlFrames } from './control-frames.ts';
import { formError, protocolError, type ConnectionError } from './frame-validation.ts';
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
import type { ServerConnection, ServerStream } from './server-stream.ts';
import { readIntoBuffer } from './socket-reads.ts';
import { Streams } from './streams.ts';
import { Strikes } from './rate-limit.ts';

/**
 * One HTTP/2 connection of a client that is known to be close by: a proxy on the same machine. No push, no priorities, no
 * upgrade. Whatever RFC 9113 calls a connection error ends it with GOAWAY.
 * @see RFC 9113
 */
export class Connection implements ServerConnection {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #output: Output;
  readonly #control: ControlFrames;
  readonly #pings: Pings;
  readonly #encoder: HeaderEncoder;
  readonly #reader: FrameReader;
  readonly #strikes: Strikes;
  readonly #mistakes: Strikes;
  readonly #streams: Streams;
  readonly share: MemoryShare;
  #prefaceRead = 0;
  /** Requests so far when it last pinged. */
  #requestsAtPing = -1;
  #isFirstFrame = true;
  #phase: 'open' | 'draining' | 'last' | 'over' = 'open';
  round = 0;
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
    const nowMs = (): number => performance.now();
    this.#strikes = new Strikes({ ...options.strikes, nowMs });
    this.#mistakes = new Strikes({ ...options.mistakes, nowMs });
    this.#streams = new Streams(
      {
        connection: this,
        output: this.#output,
        control: this.#control,
        encoder: this.#encoder,
        fail: (error) => this.#fail(error),
        strike: () => this.#strike(),
        onEmpty: () => this.#becomeIdle(),
      },
      options,
    );
    this.#reader = new FrameReader(frameLimit, (frame) => this.#take(frame));
    this.#control.settings([
      [settingIds.maxConcurrentStreams, options.maxConcurrentStreams],
      [settingIds.initialWindowSize, options.streamWindow],
      [settingIds.maxHeaderListSize, options.headerBounds.maxListBytes],
    ]);
    this.#control.windowUpdate(0, connectionWindow - initialWindow);
    const onBytes = (bytes: Buffer): void => this.#readSafely(bytes);
    if (!readIntoBuffer(socket, options.readBuffer, onBytes)) socket.on('data', onBytes);
    socket.on('end', () => this.#endAfterClient());
    socket.on('close', () => this.#over());
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

  sendHeaders(stream: ServerStream, list: HeaderList, endStream: boolean): void {
    this.#streams.sendHeaders(stream, list, endStream);
  }

  sendData(stream: ServerStream, bytes: Buffer): void {
    this.#streams.sendData(stream, bytes);
  }

  drain(): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'draining';
    // RFC 9113 §6.8: requests may be under way, so the last id is said when the client has answered.
    this.#control.goAway(largestStreamId, errorCodes.noError);
    this.#pings.askLast();
    setTimeout(() => this.#sayLast(), patienceMs).unref();
  }

  ping(): boolean {
    return this.#phase !== 'over' && this.#pings.ask();
  }

  get isPinged(): boolean {
    return this.#pings.isOwed;
  }

  nextRound(): void {
    this.round += 1;
    this.#streams.tellOverdue(this.round - 1);
  }

  destroy(): void {
    this.#socket.destroy();
    this.#over();
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
    if (this.#phase === 'over') return;
    let at = 0;
    for (; this.#prefaceRead < preface.length && at < bytes.length; at += 1, this.#prefaceRead += 1)
      if (bytes[at] !== preface[this.#prefaceRead])
        return this.#fail(protocolError('a client that does not begin as HTTP/2 does'));
    if (at === bytes.length) return;
    const isWhole = this.#reader.read(bytes, at);
    if (!isWhole) this.#fail({ code: errorCodes.frameSizeError, message: 'a frame larger than allowed' });
  }

  #take(frame: Frame): boolean {
    const { type, flags } = frame;
    const error = formError(frame);
    if (error !== undefined) this.#fail(error);
    else if (this.#isFirstFrame && (type !== frameTypes.settings || (flags & frameFlags.ack) !== 0))
      this.#fail(protocolError('another frame than SETTINGS first'));
    else if (this.#streams.isInHeaderBlock && type !== frameTypes.continuation)
      this.#fail(protocolError('another frame within a header block'));
    else this.#dispatch(frame);
    this.#isFirstFrame = false;
    return this.#phase !== 'over';
  }

  #dispatch(frame: Frame): void {
    const { type, bytes, start } = frame;
    if (type === frameTypes.data) this.#streams.takeData(frame);
    else if (type === frameTypes.headers || type === frameTypes.continuation)
      this.#streams.takeHeaders(frame);
    else if (type === frameTypes.windowUpdate)
      this.#streams.takeWindow(frame.stream, bytes.readUInt32BE(start) & largestWindow);
    else if (type === frameTypes.settings) this.#takeSettings(frame);
    else if (type === frameTypes.ping) this.#takePing(frame);
    else if (type === frameTypes.resetStream) this.#streams.takeReset(frame.stream);
    else if (type === frameTypes.priority && (bytes.readUInt32BE(start) & largestStreamId) === frame.stream)
      this.#fail(protocolError('a stream that depends on itself'));
    // The rest asks for nothing: priorities, farewells, types that we don't know (RFC 9113 §4.1).
    else this.#strike();
  }

  #takeSettings(frame: Frame): void {
    if ((frame.flags & frameFlags.ack) !== 0) return;
    if (!this.#isFirstFrame && !this.#strike()) return;
    const settings = readSettings(frame);
    if ('code' in settings) return this.#fail(settings);
    if (settings.headerTableSize !== undefined) this.#encoder.tableSizeSet(settings.headerTableSize);
    this.#control.settingsTaken();
    const error = this.#streams.apply(settings);
    if (error !== undefined) this.#fail(error);
  }

  #takePing({ bytes, start, end, flags }: Frame): void {
    const payload = bytes.subarray(start, end);
    if ((flags & frameFlags.ack) === 0) {
      // Some clients measure the way by one ping with each answer.
      const isCostly = this.#requestsAtPing === this.#streams.requests;
      this.#requestsAtPing = this.#streams.requests;
      if (!isCostly || this.#strike()) this.#control.pingTaken(payload);
    } else if (this.#pings.answered(payload)) this.#sayLast();
  }

  mistake(): boolean {
    return this.#count(this.#mistakes, 'too many mistakes');
  }

  #strike(): boolean {
    return this.#count(this.#strikes, 'too many frames that ask for nothing');
  }

  #count(counted: Strikes, message: string): boolean {
    if (counted.take()) return true;
    this.#fail({ code: errorCodes.enhanceYourCalm, message });
    return false;
  }

  #sayLast(): void {
    if (this.#phase !== 'draining') return;
    this.#phase = 'last';
    this.#streams.takesRequests = false;
    this.#control.goAway(this.#streams.last, errorCodes.noError);
    this.#endIfLast();
  }

  #becomeIdle(): void {
    this.idleSince = this.#options.idleOrder.count++;
    this.#endIfLast();
  }

  #endIfLast(): void {
    if (this.#phase !== 'last' || this.#streams.open > 0) return;
    this.#end(closingMs);
  }

  #fail({ code, message }: ConnectionError): void {
    if (this.#phase === 'over') return;
    this.#options.onPeerError(message);
    this.#control.goAway(this.#streams.last, code);
    this.#end(patienceMs);
  }

  /** Nobody waits for what isn't answered yet; a client that doesn't read doesn't hold its place. */
  #endAfterClient(): void {
    if (this.#phase !== 'over') this.#end(closingMs);
  }

  #end(waitMs: number): void {
    this.#output.end();
    const timer = setTimeout(() => this.#socket.destroy(), waitMs).unref();
    this.#socket.once('close', () => clearTimeout(timer));
    this.#over();
  }

  #over(): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#streams.drop();
    this.#output.drop();
    this.#reader.drop();
    this.#options.onOver(this);
    this.share.end(() => this.#options.onFree(this));
  }
}
