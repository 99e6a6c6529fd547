import { gunzipSync, inflateSync } from 'node:zlib';
import type { Connection } from '../http2/connection.ts';
import type { HeaderList } from '../http2/header-encoder.ts';
import type { MemoryBudget } from '../http2/memory-budget.ts';
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

export type MessageBounds = {
  readonly maxMessageBytes: number;
  readonly budget: MemoryBudget;
};

const nothing = Buffer.alloc(0);
/** What a message that is kept costs besides its octets. */
const keptOverhead = 256;
const smallBytes = 4096;
const tooManyAtOnce = 'too many messages at once';

/**
 * A call whose client sends one message, as all of ours are.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export abstract class MessageStream extends ServerStream {
  readonly #plan: CallPlan;
  readonly #bounds: MessageBounds;
  /** What has arrived, at the beginning of a buffer that may be larger. */
  #message: Buffer | undefined;
  #arrived = 0;
  #held = 0;
  #timer: NodeJS.Timeout | undefined;
  #hasBegun = false;
  #isAnswered = false;

  constructor(connection: Connection, id: number, plan: CallPlan, bounds: MessageBounds) {
    super(connection, id);
    this.#plan = plan;
    this.#bounds = bounds;
  }

  /** The message is whole, without its prefix. */
  protected abstract onMessage(bytes: Buffer): void;
  /** Nobody waits for an answer any more, or it was given. */
  protected onOver(): void {}

  /** Answered, even if the client hasn't taken the answer yet; or nobody waits for one. */
  get isOver(): boolean {
    return this.isLocalClosed || this.#isAnswered;
  }

  watchDeadline(): void {
    if (this.isOver) return;
    this.#timer = setTimeout(
      () => this.fail(grpcStatus.deadlineExceeded, 'deadline exceeded'),
      this.#plan.timeoutMs,
    ).unref();
  }

  onHead(): void {
    const { refusal, httpStatus } = this.#plan;
    if (httpStatus !== undefined) this.connection.sendHeaders(this, [[':status', String(httpStatus)]], true);
    else if (refusal !== undefined) this.fail(refusal.code, refusal.message);
  }

  onData(bytes: Buffer, isLast: boolean): void {
    if (this.isOver) return;
    // One that comes whole is decided before the next read overwrites it.
    const message = this.#message === undefined && isLast ? bytes : this.#keep(bytes);
    if (message === undefined) return this.fail(grpcStatus.resourceExhausted, tooManyAtOnce);
    this.#message = message;
    this.#arrived += bytes.length;
    if (this.#arrived < grpcPrefixBytes) return;
    const flag = message[0] ?? 0;
    const length = message.readUInt32BE(1);
    if (flag > 1 || (flag === 1 && this.#plan.encoding === 'identity'))
      this.fail(grpcStatus.internal, 'a compressed message without an encoding');
    else if (length > this.#bounds.maxMessageBytes)
      this.fail(grpcStatus.resourceExhausted, 'message larger than the limit');
    else if (this.#arrived > grpcPrefixBytes + length)
      this.fail(grpcStatus.unimplemented, 'more than one message');
  }

  /** @returns a copy behind a copy of what was here; undefined where that is too much */
  #keep(bytes: Buffer): Buffer | undefined {
    const room = this.#message ?? nothing;
    const needed = this.#arrived + bytes.length;
    if (needed <= room.length) {
      bytes.copy(room, this.#arrived);
      return room;
    }
    const size = Math.max(needed, 2 * room.length);
    if (!this.#hold(size + keptOverhead)) return undefined;
    // Not of Node's pool, all of whose slab it would keep.
    const larger = Buffer.allocUnsafeSlow(size);
    room.copy(larger, 0, 0, this.#arrived);
    bytes.copy(larger, this.#arrived);
    return larger;
  }

  #hold(bytes: number): boolean {
    if (!this.#bounds.budget.take(this.connection, bytes - this.#held)) return false;
    this.#held = bytes;
    return true;
  }

  onEnd(): void {
    if (this.isOver) return;
    const bytes = this.#message?.subarray(0, this.#arrived) ?? nothing;
    const isWhole =
      bytes.length >= grpcPrefixBytes && bytes.length === grpcPrefixBytes + bytes.readUInt32BE(1);
    if (!isWhole) return this.fail(grpcStatus.internal, 'no whole message');
    this.#message = undefined;
    const message = bytes.subarray(grpcPrefixBytes);
    if (bytes[0] === 1) this.#decompress(message);
    else this.#pass(message);
  }

  /** What is made of it is kept until it is answered; small ones aren't worth the counting. */
  #pass(message: Buffer): void {
    if (
      message.length <= smallBytes ||
      this.#held > message.length ||
      this.#hold(message.length + keptOverhead)
    )
      this.onMessage(message);
    else this.fail(grpcStatus.resourceExhausted, tooManyAtOnce);
  }

  /** At once: jobs of other threads would outlive their calls, and nothing would bound them. */
  #decompress(message: Buffer): void {
    const decompress = this.#plan.encoding === 'gzip' ? gunzipSync : inflateSync;
    let bytes: Buffer;
    try {
      bytes = decompress(message, { maxOutputLength: this.#bounds.maxMessageBytes });
    } catch (thrown) {
      const isTooLarge =
        thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_BUFFER_TOO_LARGE';
      return isTooLarge
        ? this.fail(grpcStatus.resourceExhausted, 'message larger than the limit')
        : this.fail(grpcStatus.internal, 'a message that is not compressed as it says');
    }
    this.#pass(bytes);
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
    this.#isAnswered = true;
    this.connection.sendHeaders(this, okTrailers, true);
    this.#release();
  }

  /** Ends the call with an error, unless it is over. */
  fail(code: number, message: string): void {
    if (this.isOver) return;
    this.#isAnswered = true;
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
    this.#bounds.budget.giveBack(this.connection, this.#held);
    this.#held = 0;
    this.#message = undefined;
    this.onOver();
  }
}
