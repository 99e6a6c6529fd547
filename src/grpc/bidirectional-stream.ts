import { errorCodes } from '../http2/frames.ts';
import type { HeaderList } from '../http2/header-encoder.ts';
import { ServerStream, type ServerConnection } from '../http2/server-stream.ts';
import {
  maxQueuedBytes,
  writableBytes,
  type BidirectionalCall,
  type BidirectionalHandler,
  type BidirectionalMethod,
} from './bidirectional-method.ts';
import { decompressMessage } from './decompression.ts';
import { createFailure, failures, okTrailers, responseHead, type Failure } from './failure.ts';
import { grpcStatus } from './grpc-status.ts';
import { lengthPrefixBytes } from './length-prefix.ts';
import type { OpenCall, OpenCalls } from './open-calls.ts';
import { ReceiveBuffer } from './receive-buffer.ts';
import type { GrpcRequestHead } from './request-head.ts';

export type BidirectionalOptions = {
  readonly maxMessageBytes: number;
  readonly openCalls: OpenCalls;
  /** Called with what a handler throws. */
  onFault(thrown: unknown): void;
};

const bidirectionalFailures = {
  tooManyCalls: createFailure(grpcStatus.resourceExhausted, 'too many open calls'),
  tooMuchQueued: createFailure(grpcStatus.resourceExhausted, 'too much is queued for the client'),
  internal: createFailure(grpcStatus.internal, 'internal error'),
} as const;

/**
 * A bidirectional call on the native engine. It holds no more of a client's messages than the stream's
 * receive window, which is reopened as messages are handed over.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export class BidirectionalStream extends ServerStream implements BidirectionalCall, OpenCall {
  readonly #method: BidirectionalMethod;
  readonly #head: GrpcRequestHead;
  readonly #options: BidirectionalOptions;
  readonly #received: ReceiveBuffer;
  #handler: BidirectionalHandler | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isPaused = false;
  #isDelivering = false;
  #isHalfCloseDue = false;
  #hasBegun = false;
  #isAwaitingWritable = false;
  #cause: 'ended' | 'cancelled' | undefined;

  constructor(
    connection: ServerConnection,
    id: number,
    head: GrpcRequestHead,
    method: BidirectionalMethod,
    options: BidirectionalOptions,
  ) {
    super(connection, id);
    this.#head = head;
    this.#method = method;
    this.#options = options;
    this.#received = new ReceiveBuffer(connection.share);
  }

  get isOver(): boolean {
    return this.isLocalClosed || this.#cause !== undefined;
  }

  /** From the first response to the end of the call: see `ServerStream`. */
  override get isLongLived(): boolean {
    return this.#hasBegun && this.#cause === undefined;
  }

  watchDeadline(): void {
    if (this.isOver) return;
    this.#timer = setTimeout(() => this.#fail(failures.deadlineExceeded), this.#head.timeoutMs).unref();
  }

  onHead(): void {
    if (!this.#options.openCalls.add(this, this.#method))
      return this.#fail(bidirectionalFailures.tooManyCalls);
    this.#run(() => {
      const handler = this.#method.open(this);
      // A handler may end its call at once.
      if (this.#cause === undefined) this.#handler = handler;
      else handler.onOver(this.#cause);
    });
  }

  onData(bytes: Buffer): void {
    if (this.isOver) return;
    if (this.#received.length > 0 || this.#isPaused) {
      if (!this.#received.append(bytes)) return this.#fail(failures.tooManyMessages);
      this.#deliverReceived();
    } else {
      // Messages that arrive in one piece are handed over without a copy.
      const delivered = this.#deliver(bytes);
      if (this.isOver) return;
      if (!this.#received.append(bytes.subarray(delivered))) return this.#fail(failures.tooManyMessages);
      // The handler may have paused and resumed meanwhile.
      this.#deliverReceived();
    }
    if (!this.isOver) this.connection.reopenWindow(this, this.#received.length);
  }

  onEnd(): void {
    if (this.isOver) return;
    this.#isHalfCloseDue = true;
    this.#deliverReceived();
  }

  onReset(): void {
    this.#finish('cancelled');
  }

  /** A call may wait for its next message for as long as its client likes. */
  onRequestTimeout(): void {}

  override onQueueSent(): void {
    if (!this.#isAwaitingWritable || this.isOver) return;
    this.#isAwaitingWritable = false;
    this.#run(() => this.#handler?.onWritable());
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#isDelivering || this.isOver) return;
    this.#deliverReceived();
    if (!this.isOver) this.connection.reopenWindow(this, this.#received.length);
  }

  write(message: Buffer): boolean {
    if (this.isOver) return false;
    this.#begin();
    this.connection.sendData(this, message);
    // The connection resets a stream whose queue does not fit into the memory budget.
    if (this.isOver) return false;
    if (this.queuedBytes > maxQueuedBytes) this.#fail(bidirectionalFailures.tooMuchQueued);
    else this.#isAwaitingWritable = this.queuedBytes > writableBytes;
    return !this.#isAwaitingWritable && !this.isOver;
  }

  end(): void {
    if (this.isOver) return;
    this.#begin();
    this.#end(okTrailers, 'ended');
  }

  reject(code: number, message: string): void {
    if (!this.isOver) this.#end(this.#trailersOf(createFailure(code, message)), 'ended');
  }

  abort({ code, message }: { readonly code: number; readonly message: string }): void {
    this.#fail(createFailure(code, message));
  }

  cancel(): void {
    if (this.isOver) return;
    this.#finish('ended');
    this.connection.resetStream(this, errorCodes.cancel);
  }

  #begin(): void {
    if (!this.#hasBegun) this.connection.sendHeaders(this, responseHead, false);
    this.#hasBegun = true;
  }

  #deliverReceived(): void {
    if (this.#received.length > 0) this.#received.consume(this.#deliver(this.#received.bytes));
    if (!this.#isHalfCloseDue || this.#isPaused || this.isOver) return;
    this.#isHalfCloseDue = false;
    if (this.#received.length > 0) this.#refuse(failures.incompleteMessage);
    else this.#run(() => this.#handler?.onHalfClose());
  }

  /** Hands over the complete messages, until the handler pauses. @returns how many bytes they take */
  #deliver(bytes: Buffer): number {
    let at = 0;
    this.#isDelivering = true;
    while (!this.#isPaused && !this.isOver && bytes.length - at >= lengthPrefixBytes) {
      const flag = bytes[at] ?? 0;
      const length = bytes.readUInt32BE(at + 1);
      const start = at + lengthPrefixBytes;
      if (flag > 1 || (flag === 1 && this.#head.encoding === 'identity'))
        this.#refuse(failures.unexpectedCompression);
      else if (length > this.#options.maxMessageBytes) this.#refuse(failures.messageTooLarge);
      else if (bytes.length - start < length) break;
      else {
        at = start + length;
        this.#handOver(bytes.subarray(start, at), flag === 1);
      }
    }
    this.#isDelivering = false;
    return at;
  }

  #handOver(message: Buffer, isCompressed: boolean): void {
    if (!isCompressed) return this.#run(() => this.#handler?.onMessage(message));
    const result = decompressMessage(message, this.#head.encoding, this.#options.maxMessageBytes);
    if (result.kind === 'failed') this.#refuse(result.failure);
    else if (!result.isSuspicious || this.connection.chargeError())
      this.#run(() => this.#handler?.onMessage(result.bytes));
  }

  /** Calls the handler. One that throws must end neither the connection nor the process. */
  #run(call: () => void): void {
    try {
      call();
    } catch (thrown) {
      this.#options.onFault(thrown);
      this.#fail(bidirectionalFailures.internal);
    }
  }

  #trailersOf({ whole, trailers }: Failure): HeaderList {
    return this.#hasBegun ? trailers : whole;
  }

  #fail(failure: Failure): void {
    if (!this.isOver) this.#end(this.#trailersOf(failure), 'cancelled');
  }

  /** The same for an error of the client. */
  #refuse(failure: Failure): void {
    if (this.connection.chargeError()) this.#fail(failure);
  }

  #end(trailers: HeaderList, cause: 'ended' | 'cancelled'): void {
    // What is still queued has the time limit of any response from now on.
    this.queuedAtSweep = this.connection.sweeps;
    this.#finish(cause);
    this.connection.sendHeaders(this, trailers, true);
  }

  #finish(cause: 'ended' | 'cancelled'): void {
    if (this.#cause !== undefined) return;
    this.#cause = cause;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#received.release();
    this.#options.openCalls.delete(this);
    const handler = this.#handler;
    this.#handler = undefined;
    if (handler !== undefined) this.#run(() => handler.onOver(cause));
  }
}
