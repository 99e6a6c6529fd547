import { gunzipSync, inflateSync } from 'node:zlib';
import type { Connection } from '../http2/connection.ts';
import type { HeaderList } from '../http2/header-encoder.ts';
import { ServerStream } from '../http2/server-stream.ts';
import type { CallPlan } from './request-head.ts';
import { grpcPrefixBytes } from '../envoy/encoded-response.ts';
import { grpcStatus } from './grpc-status.ts';

const responseHead: HeaderList = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
];
const okTrailers: HeaderList = [['grpc-status', '0']];
const refusedEncoding: HeaderList = [['grpc-accept-encoding', 'identity,deflate,gzip']];

/** What responses have again and again: that of a success, and the failures that have been. */
export const repeatedLists = new Set<HeaderList>([responseHead, okTrailers]);

type Failure = { readonly whole: HeaderList; readonly trailers: HeaderList };

const failures = new Map<string, Failure>();

/** Few: the messages are ours. */
function failureOf(code: number, message: string): Failure {
  const key = `${code} ${message}`;
  const known = failures.get(key);
  if (known !== undefined) return known;
  const trailers: HeaderList = [
    ['grpc-status', String(code)],
    ['grpc-message', message],
    ...(code === grpcStatus.unimplemented ? refusedEncoding : []),
  ];
  const failure: Failure = { whole: [...responseHead, ...trailers], trailers };
  failures.set(key, failure);
  repeatedLists.add(failure.whole).add(failure.trailers);
  return failure;
}

const nothing = Buffer.alloc(0);
/** What a message that is kept costs besides its octets. */
const keptOverhead = 512;
/** A message that is unpacked to more than so many times its octets is a mistake at best. */
const mostUnpacking = 16;
const tooManyAtOnce = 'too many messages at once';

/**
 * A call whose client sends one message, as all of ours are.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export abstract class MessageStream extends ServerStream {
  readonly #plan: CallPlan;
  readonly #maxMessageBytes: number;
  /** What has arrived, at the beginning of a buffer that may be larger. */
  #message: Buffer | undefined;
  #arrived = 0;
  /** Taken of the connection's share for it; octets. */
  #held = 0;
  #isAsked = false;
  #timer: NodeJS.Timeout | undefined;
  #hasBegun = false;
  #isAnswered = false;
  #isReleased = false;

  constructor(connection: Connection, id: number, plan: CallPlan, maxMessageBytes: number) {
    super(connection, id);
    this.#plan = plan;
    this.#maxMessageBytes = maxMessageBytes;
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
    if (refusal !== undefined) return this.refuse(refusal.code, refusal.message);
    if (httpStatus === undefined || !this.connection.mistake()) return;
    this.#isAnswered = true;
    this.connection.sendHeaders(this, [[':status', String(httpStatus)]], true);
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
      this.refuse(grpcStatus.internal, 'a compressed message without an encoding');
    else if (length > this.#maxMessageBytes)
      this.refuse(grpcStatus.resourceExhausted, 'message larger than the limit');
    else if (this.#arrived > grpcPrefixBytes + length)
      this.refuse(grpcStatus.unimplemented, 'more than one message');
  }

  /** @returns a copy behind a copy of what was here; undefined where that is too much */
  #keep(bytes: Buffer): Buffer | undefined {
    const room = this.#message ?? nothing;
    const needed = this.#arrived + bytes.length;
    if (needed <= room.length) {
      bytes.copy(room, this.#arrived);
      return room;
    }
    const size = Math.max(needed, Math.min(2 * room.length, this.#mostOf(room)));
    if (!this.#hold(size + keptOverhead)) return undefined;
    // Not of Node's pool, all of whose slab it would keep.
    const larger = Buffer.allocUnsafeSlow(size);
    room.copy(larger, 0, 0, this.#arrived);
    bytes.copy(larger, this.#arrived);
    return larger;
  }

  /** @returns the octets of the message that begins in `room`, as far as is known */
  #mostOf(room: Buffer): number {
    return this.#arrived < grpcPrefixBytes ? Infinity : grpcPrefixBytes + room.readUInt32BE(1);
  }

  #hold(bytes: number): boolean {
    const more = bytes - this.#held;
    if (more < 0) this.connection.share.giveBack(-more);
    else if (!this.connection.share.take(more)) return false;
    this.#held = bytes;
    return true;
  }

  onEnd(): void {
    if (this.isOver) return;
    const bytes = this.#message?.subarray(0, this.#arrived) ?? nothing;
    const isWhole =
      bytes.length >= grpcPrefixBytes && bytes.length === grpcPrefixBytes + bytes.readUInt32BE(1);
    if (!isWhole) return this.refuse(grpcStatus.internal, 'no whole message');
    this.#message = undefined;
    const message = bytes.subarray(grpcPrefixBytes);
    if (bytes[0] === 1) this.#decompress(message);
    else this.#pass(message);
  }

  /** What is made of it counts until it is answered. */
  #pass(message: Buffer): void {
    if (this.#hold(message.length + keptOverhead)) this.onMessage(message);
    else this.fail(grpcStatus.resourceExhausted, tooManyAtOnce);
  }

  /** At once: jobs of other threads would outlive their calls, and nothing would bound them. */
  #decompress(message: Buffer): void {
    const decompress = this.#plan.encoding === 'gzip' ? gunzipSync : inflateSync;
    let bytes: Buffer;
    try {
      bytes = decompress(message, { maxOutputLength: this.#maxMessageBytes });
    } catch (thrown) {
      const isTooLarge =
        thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_BUFFER_TOO_LARGE';
      return isTooLarge
        ? this.refuse(grpcStatus.resourceExhausted, 'message larger than the limit')
        : this.refuse(grpcStatus.internal, 'a message that is not compressed as it says');
    }
    if (bytes.length <= mostUnpacking * message.length || this.connection.mistake()) this.#pass(bytes);
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

  /** What is made of the message is kept until `send` is called, whatever becomes of the call. */
  protected isAsked(): void {
    this.#isAsked = true;
  }

  /** Answers with one message, with its prefix, and OK; nothing after the end of the call. */
  send(response: Buffer): void {
    this.#isAsked = false;
    if (this.isOver) return this.#letGo();
    this.begin(response);
    this.#isAnswered = true;
    this.connection.sendHeaders(this, okTrailers, true);
    this.#release();
  }

  /** Ends the call with an error, unless it is over. */
  fail(code: number, message: string): void {
    if (this.isOver) return;
    this.#isAnswered = true;
    const { whole, trailers } = failureOf(code, message);
    this.connection.sendHeaders(this, this.#hasBegun ? trailers : whole, true);
    this.#release();
  }

  /** The same for a mistake of the client's, which it may make so many times. */
  protected refuse(code: number, message: string): void {
    if (this.connection.mistake()) this.fail(code, message);
  }

  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#message = undefined;
    if (!this.#isAsked) this.#letGo();
    this.onOver();
  }

  #letGo(): void {
    this.connection.share.giveBack(this.#held);
    this.#held = 0;
  }
}
