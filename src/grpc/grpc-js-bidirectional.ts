import type { handleBidiStreamingCall, MethodDefinition, ServerDuplexStream } from '@grpc/grpc-js';
import {
  maxQueuedBytes,
  writableBytes,
  type BidirectionalCall,
  type BidirectionalHandler,
  type BidirectionalMethod,
} from './bidirectional-method.ts';
import { grpcStatus } from './grpc-status.ts';
import { lengthPrefixBytes } from './length-prefix.ts';
import type { OpenCall, OpenCalls } from './open-calls.ts';

type Stream = ServerDuplexStream<Buffer, Buffer>;
type Status = { readonly code: number; readonly message: string };
type Options = {
  readonly openCalls: OpenCalls;
  /** Called with what a handler throws. */
  onFault(thrown: unknown): void;
};

/** What a queued message counts in addition to its bytes, as on the native engine. */
const queuedMessageOverhead = 512;
const tooManyCalls = { code: grpcStatus.resourceExhausted, message: 'too many open calls' };
const tooMuchQueued = { code: grpcStatus.resourceExhausted, message: 'too much is queued for the client' };
const internalError = { code: grpcStatus.internal, message: 'internal error' };
const cancelled = { code: grpcStatus.cancelled, message: 'cancelled' };

/** @param unused serializes for a client, which this is not */
export const bidirectionalDefinition = (
  { path }: BidirectionalMethod,
  unused: () => never,
): MethodDefinition<Buffer, Buffer> => ({
  path,
  requestStream: true,
  responseStream: true,
  requestSerialize: unused,
  requestDeserialize: (bytes) => bytes,
  // grpc-js writes the prefix itself.
  responseSerialize: (response) => response.subarray(lengthPrefixBytes),
  responseDeserialize: unused,
});

export const bidirectionalHandler =
  (method: BidirectionalMethod, options: Options): handleBidiStreamingCall<Buffer, Buffer> =>
  (stream) => {
    const call = new GrpcJsCall(stream, options);
    if (options.openCalls.add(call, method)) call.start(method);
    else call.abort(tooManyCalls);
  };

/** A bidirectional call on grpc-js, which bounds what it reads ahead by the client's flow-control window. */
class GrpcJsCall implements BidirectionalCall, OpenCall {
  /** grpc-js bounds the age of connections itself, so nobody asks for the calls of one. */
  readonly connection = undefined;
  readonly #stream: Stream;
  readonly #options: Options;
  #handler: BidirectionalHandler | undefined;
  #queuedBytes = 0;
  #isAwaitingWritable = false;
  #isPaused = false;
  #isHalfCloseDue = false;
  #cause: 'ended' | 'cancelled' | undefined;

  constructor(stream: Stream, options: Options) {
    this.#stream = stream;
    this.#options = options;
  }

  get isOver(): boolean {
    return this.#cause !== undefined || this.#stream.cancelled || this.#stream.destroyed;
  }

  start(method: BidirectionalMethod): void {
    const stream = this.#stream;
    // Also after a status: it does nothing then.
    stream.on('cancelled', () => this.#finish('cancelled'));
    stream.on('close', () => this.#finish('cancelled'));
    this.#run(() => {
      const handler = method.open(this);
      // A handler may end its call at once.
      if (this.#cause === undefined) this.#handler = handler;
      else handler.onOver(this.#cause);
    });
    stream.on('data', (message: Buffer) => this.#run(() => this.#handler?.onMessage(message)));
    stream.on('end', () => {
      // Emitted with the last message, even when the handler pauses on that.
      if (this.#isPaused) this.#isHalfCloseDue = true;
      else this.#run(() => this.#handler?.onHalfClose());
    });
    // The listener has made the stream flow.
    if (this.#isPaused) stream.pause();
  }

  pause(): void {
    this.#isPaused = true;
    this.#stream.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#stream.resume();
    if (!this.#isHalfCloseDue) return;
    this.#isHalfCloseDue = false;
    this.#run(() => this.#handler?.onHalfClose());
  }

  write(message: Buffer): boolean {
    if (this.isOver) return false;
    const bytes = message.length + queuedMessageOverhead;
    this.#queuedBytes += bytes;
    this.#stream.write(message, () => this.#onSent(bytes));
    if (this.#queuedBytes > maxQueuedBytes) this.abort(tooMuchQueued);
    else this.#isAwaitingWritable = this.#queuedBytes > writableBytes;
    return !this.#isAwaitingWritable && !this.isOver;
  }

  #onSent(bytes: number): void {
    this.#queuedBytes -= bytes;
    if (this.#queuedBytes > 0 || !this.#isAwaitingWritable || this.isOver) return;
    this.#isAwaitingWritable = false;
    this.#run(() => this.#handler?.onWritable());
  }

  end(): void {
    if (this.isOver) return;
    this.#finish('ended');
    this.#stream.end();
  }

  reject(code: number, message: string): void {
    this.#endWith({ code, message }, 'ended');
  }

  /** grpc-js cannot reset a stream without a status, so the queue is sent first. */
  cancel(): void {
    this.#endWith(cancelled, 'ended');
  }

  abort(status: Status): void {
    this.#endWith(status, 'cancelled');
  }

  #endWith({ code, message }: Status, cause: 'ended' | 'cancelled'): void {
    if (this.isOver) return;
    this.#finish(cause);
    this.#stream.emit('error', { code, details: message });
  }

  #run(call: () => void): void {
    try {
      call();
    } catch (thrown) {
      this.#options.onFault(thrown);
      this.abort(internalError);
    }
  }

  #finish(cause: 'ended' | 'cancelled'): void {
    if (this.#cause !== undefined) return;
    this.#cause = cause;
    this.#options.openCalls.delete(this);
    const handler = this.#handler;
    this.#handler = undefined;
    // Reads on and ignores what comes, so that the client's end is seen.
    this.#stream.resume();
    if (handler !== undefined) this.#run(() => handler.onOver(cause));
  }
}
