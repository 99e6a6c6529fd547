import { gunzip, inflate } from 'node:zlib';
import type { Connection } from '../http2/connection.ts';
import type { HeaderList } from '../http2/header-encoder.ts';
import { ServerStream } from '../http2/server-stream.ts';
import type { CallPlan } from './call-plan.ts';
import { grpcPrefixBytes } from './encoded-response.ts';
import { grpcStatus } from './grpc-status.ts';

const responseHead: HeaderList = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
];
const okTrailers: HeaderList = [['grpc-status', '0']];
const refusedEncoding: HeaderList = [['grpc-accept-encoding', 'identity,deflate,gzip']];

/** What nearly every response has. */
export const repeatedLists: ReadonlySet<HeaderList> = new Set([responseHead, okTrailers]);

/** What is kept of messages that haven't come whole, of all connections together. */
export type Held = { bytes: number; readonly mostBytes: number };

export type MessageBounds = {
  readonly maxMessageBytes: number;
  readonly held: Held;
};

/** What a kept piece costs besides its octets. */
const pieceBytes = 256;

/**
 * A call whose client sends one message, as all of ours are.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export abstract class MessageStream extends ServerStream {
  readonly #plan: CallPlan;
  readonly #bounds: MessageBounds;
  #message: Buffer | undefined;
  #pieces: Buffer[] | undefined;
  #arrived = 0;
  #held = 0;
  #timer: NodeJS.Timeout | undefined;
  #hasBegun = false;

  constructor(connection: Connection, id: number, plan: CallPlan, bounds: MessageBounds) {
    super(connection, id);
    this.#plan = plan;
    this.#bounds = bounds;
  }

  /** The message is whole, without its prefix. */
  protected abstract onMessage(bytes: Buffer): void;
  /** Nobody waits for an answer any more, or it was given. */
  protected onOver(): void {}

  get isOver(): boolean {
    return this.isLocalClosed;
  }

  watchDeadline(): void {
    this.#timer = setTimeout(
      () => this.fail(grpcStatus.deadlineExceeded, 'deadline exceeded'),
      this.#plan.timeoutMs,
    );
  }

  onHead(): void {
    const { refusal, httpStatus } = this.#plan;
    if (httpStatus !== undefined) this.connection.sendHeaders(this, [[':status', String(httpStatus)]], true);
    else if (refusal !== undefined) this.fail(refusal.code, refusal.message);
  }

  onData(bytes: Buffer, isLast: boolean): void {
    if (this.#message === undefined && this.#pieces === undefined && isLast) this.#message = bytes;
    else this.#keep(bytes);
    this.#arrived += bytes.length;
    // Nothing is left of one that was refused just now.
    if (this.isOver || this.#arrived < grpcPrefixBytes) return;
    const [flag, length] = this.#prefix();
    if (flag > 1 || (flag === 1 && this.#plan.encoding === 'identity'))
      this.fail(grpcStatus.internal, 'a compressed message without an encoding');
    else if (length > this.#bounds.maxMessageBytes)
      this.fail(grpcStatus.resourceExhausted, 'message larger than the limit');
    else if (this.#arrived > grpcPrefixBytes + length)
      this.fail(grpcStatus.unimplemented, 'more than one message');
  }

  /** A copy: the read that it is a part of would be kept with it. */
  #keep(bytes: Buffer): void {
    this.#pieces ??= [];
    this.#pieces.push(Buffer.from(bytes));
    const { held } = this.#bounds;
    this.#held += bytes.length + pieceBytes;
    held.bytes += bytes.length + pieceBytes;
    if (held.bytes > held.mostBytes)
      this.fail(grpcStatus.resourceExhausted, 'too many messages arrive at once');
  }

  #prefix(): [flag: number, length: number] {
    const bytes = this.#whole();
    return [bytes[0] ?? 0, bytes.readUInt32BE(1)];
  }

  /** What has arrived, in one piece. */
  #whole(): Buffer {
    if (this.#message !== undefined) return this.#message;
    const pieces = this.#pieces ?? [];
    const [first] = pieces;
    // The prefix alone is looked for often, the whole once.
    if (first !== undefined && (pieces.length === 1 || first.length >= grpcPrefixBytes)) return first;
    const bytes = Buffer.concat(pieces);
    this.#pieces = [bytes];
    return bytes;
  }

  onEnd(): void {
    const bytes = this.#message ?? Buffer.concat(this.#pieces ?? []);
    const isWhole =
      bytes.length >= grpcPrefixBytes && bytes.length === grpcPrefixBytes + bytes.readUInt32BE(1);
    if (!isWhole) return this.fail(grpcStatus.internal, 'no whole message');
    this.#message = undefined;
    this.#pieces = undefined;
    const message = bytes.subarray(grpcPrefixBytes);
    if (bytes[0] === 1) this.#decompress(message);
    else this.onMessage(message);
  }

  #decompress(message: Buffer): void {
    const decompress = this.#plan.encoding === 'gzip' ? gunzip : inflate;
    // A copy, which is still there when its turn comes.
    decompress(Buffer.from(message), { maxOutputLength: this.#bounds.maxMessageBytes }, (error, bytes) => {
      if (this.isOver) return;
      if (error === null) return this.onMessage(bytes);
      const isTooLarge = 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
      if (isTooLarge) this.fail(grpcStatus.resourceExhausted, 'message larger than the limit');
      else this.fail(grpcStatus.internal, 'a message that is not compressed as it says');
    });
  }

  onReset(): void {
    this.#release();
  }

  onOverdue(): void {
    this.fail(grpcStatus.deadlineExceeded, 'the message was not sent in time');
  }

  /** Sends a message with its prefix, before anything ends the call. */
  protected begin(response: Buffer): void {
    if (!this.#hasBegun) this.connection.sendHeaders(this, responseHead, false);
    this.#hasBegun = true;
    this.connection.sendData(this, response);
  }

  /** Answers with one message, with its prefix, and OK; nothing after the end of the call. */
  send(response: Buffer): void {
    if (this.isOver) return;
    this.begin(response);
    this.connection.sendHeaders(this, okTrailers, true);
    this.#release();
  }

  /** Ends the call with an error, unless it is over. */
  fail(code: number, message: string): void {
    if (this.isOver) return;
    const status: HeaderList = [
      ['grpc-status', String(code)],
      ['grpc-message', message],
      ...(code === grpcStatus.unimplemented ? refusedEncoding : []),
    ];
    this.connection.sendHeaders(this, this.#hasBegun ? status : [...responseHead, ...status], true);
    this.#release();
  }

  #release(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#bounds.held.bytes -= this.#held;
    this.#held = 0;
    this.#message = undefined;
    this.#pieces = undefined;
    this.onOver();
  }
}
