import { ServerStream, type ServerConnection } from '../http2/server-stream.ts';
import { decompressMessage } from './decompression.ts';
import { createFailure, failures, okTrailers, responseHead, type Failure } from './failure.ts';
import { lengthPrefixBytes } from './length-prefix.ts';
import type { GrpcRequestHead } from './request-head.ts';

const noBytes = Buffer.alloc(0);
/** What a kept message takes of memory besides its bytes. */
const keptOverheadBytes = 512;

/**
 * A call whose client sends one message.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export abstract class MessageStream extends ServerStream {
  readonly #head: GrpcRequestHead;
  readonly #maxMessageBytes: number;
  /** What has arrived, at the beginning of a buffer that may be larger. */
  #message: Buffer | undefined;
  #arrived = 0;
  /** Bytes that it has taken of the connection's share of the memory budget. */
  #held = 0;
  #isAwaitingAnswer = false;
  #timer: NodeJS.Timeout | undefined;
  #hasBegun = false;
  #isAnswered = false;
  #isReleased = false;

  constructor(connection: ServerConnection, id: number, head: GrpcRequestHead, maxMessageBytes: number) {
    super(connection, id);
    this.#head = head;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** The message is complete. `bytes`: without its length prefix, overwritten once this returns. */
  protected abstract onMessage(bytes: Buffer): void;
  /** The call was answered, or its client has given up. */
  protected onOver(): void {}

  /** Answered, even if the client hasn't read the answer yet, or given up. */
  get isOver(): boolean {
    return this.isLocalClosed || this.#isAnswered;
  }

  watchDeadline(): void {
    if (this.isOver) return;
    this.#timer = setTimeout(() => this.fail(failures.deadlineExceeded), this.#head.timeoutMs).unref();
  }

  onHead(): void {
    const { failure, httpStatus } = this.#head;
    if (failure !== undefined) return this.refuse(failure);
    if (httpStatus === undefined || !this.connection.chargeError()) return;
    this.#isAnswered = true;
    this.connection.sendHeaders(this, [[':status', String(httpStatus)]], true);
  }

  onData(bytes: Buffer, isLast: boolean): void {
    if (this.isOver) return;
    // A message that arrives in one piece is decoded before the next read overwrites it.
    const message = this.#message === undefined && isLast ? bytes : this.#keep(bytes);
    if (message === undefined) return this.fail(failures.tooManyMessages);
    this.#message = message;
    this.#arrived += bytes.length;
    if (this.#arrived < lengthPrefixBytes) return;
    const flag = message[0] ?? 0;
    const length = message.readUInt32BE(1);
    if (flag > 1 || (flag === 1 && this.#head.encoding === 'identity'))
      this.refuse(failures.unexpectedCompression);
    else if (length > this.#maxMessageBytes) this.refuse(failures.messageTooLarge);
    else if (this.#arrived > lengthPrefixBytes + length) this.refuse(failures.severalMessages);
  }

  /** Copies the bytes behind those that are kept. @returns undefined where the budget is exhausted */
  #keep(bytes: Buffer): Buffer | undefined {
    const room = this.#message ?? noBytes;
    const needed = this.#arrived + bytes.length;
    if (needed <= room.length) {
      bytes.copy(room, this.#arrived);
      return room;
    }
    const size = Math.max(needed, Math.min(2 * room.length, this.#mostOf(room)));
    if (!this.#hold(size + keptOverheadBytes)) return undefined;
    // Not from Node's pool, whose slab of 64 KiB it would keep in memory.
    const larger = Buffer.allocUnsafeSlow(size);
    room.copy(larger, 0, 0, this.#arrived);
    bytes.copy(larger, this.#arrived);
    return larger;
  }

  /** @returns the size of the message that begins in `room`, Infinity while it isn't known */
  #mostOf(room: Buffer): number {
    return this.#arrived < lengthPrefixBytes ? Infinity : lengthPrefixBytes + room.readUInt32BE(1);
  }

  #hold(bytes: number): boolean {
    const more = bytes - this.#held;
    if (more < 0) this.connection.share.release(-more);
    else if (!this.connection.share.reserve(more)) return false;
    this.#held = bytes;
    return true;
  }

  onEnd(): void {
    if (this.isOver) return;
    const bytes = this.#message?.subarray(0, this.#arrived) ?? noBytes;
    const isWhole =
      bytes.length >= lengthPrefixBytes && bytes.length === lengthPrefixBytes + bytes.readUInt32BE(1);
    if (!isWhole) return this.refuse(failures.incompleteMessage);
    this.#message = undefined;
    const message = bytes.subarray(lengthPrefixBytes);
    if (bytes[0] === 1) this.#decompress(message);
    else this.#pass(message);
  }

  /** The decoded message counts in the budget until the call is answered. */
  #pass(message: Buffer): void {
    if (this.#hold(message.length + keptOverheadBytes)) this.onMessage(message);
    else this.fail(failures.tooManyMessages);
  }

  #decompress(message: Buffer): void {
    const result = decompressMessage(message, this.#head.encoding, this.#maxMessageBytes);
    if (result.kind === 'failed') this.refuse(result.failure);
    else if (!result.isSuspicious || this.connection.chargeError()) this.#pass(result.bytes);
  }

  onReset(): void {
    this.#release();
  }

  onRequestTimeout(): void {
    this.fail(failures.lateMessage);
  }

  /** Sends a message, and leaves the call open. @param response with its length prefix */
  write(response: Buffer): void {
    if (this.isOver) return;
    if (!this.#hasBegun) this.connection.sendHeaders(this, responseHead, false);
    this.#hasBegun = true;
    this.connection.sendData(this, response);
  }

  /** Keeps the request counted in the budget until `send` or `reject`, even if the client gives up. */
  protected keepUntilAnswered(): void {
    this.#isAwaitingAnswer = true;
  }

  /** Answers with one message and OK, unless the call is over. @param response with its length prefix */
  send(response: Buffer): void {
    this.#isAwaitingAnswer = false;
    if (this.isOver) return this.#giveBackMemory();
    this.write(response);
    this.#isAnswered = true;
    this.connection.sendHeaders(this, okTrailers, true);
    this.#release();
  }

  /** Answers with an error status, unless the call is over. */
  reject(code: number, message: string): void {
    this.#isAwaitingAnswer = false;
    if (this.isOver) this.#giveBackMemory();
    else this.fail(createFailure(code, message));
  }

  /** Ends the call with an error status, unless it is over. */
  protected fail({ whole, trailers }: Failure): void {
    if (this.isOver) return;
    this.#isAnswered = true;
    this.connection.sendHeaders(this, this.#hasBegun ? trailers : whole, true);
    this.#release();
  }

  /** The same for a mistake of the client, whose number a connection limits. */
  protected refuse(failure: Failure): void {
    if (this.connection.chargeError()) this.fail(failure);
  }

  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#message = undefined;
    if (!this.#isAwaitingAnswer) this.#giveBackMemory();
    this.onOver();
  }

  #giveBackMemory(): void {
    this.connection.share.release(this.#held);
    this.#held = 0;
  }
}
