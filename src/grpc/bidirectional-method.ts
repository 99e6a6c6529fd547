/**
 * The server's side of a bidirectional call. The call is over when it has a status, when either side has
 * reset it, or when its connection has ended; from then on its functions do nothing.
 */
export type BidirectionalCall = {
  readonly isOver: boolean;
  /**
   * Sends a message. What the client does not accept yet is queued.
   * @param message with its length prefix; must not change until it has been sent
   * @returns false when more than 64 KiB are queued: write no more until `onWritable`. With more than 1 MiB
   * queued the call ends with RESOURCE_EXHAUSTED.
   */
  write(message: Buffer): boolean;
  /**
   * Stops `onMessage` and `onHalfClose` until `resume`. The client may send until its flow-control window of
   * about two of the largest messages is used up; then it has to wait.
   */
  pause(): void;
  resume(): void;
  /** Ends the call with OK, after what is queued. */
  end(): void;
  /** Ends the call with an error status, after what is queued. */
  reject(code: number, message: string): void;
  /** Ends the call without a status, and drops what is queued. The client sees CANCELLED. */
  cancel(): void;
};

/**
 * What a method does in one call. A function that throws ends the call with INTERNAL, and the fault is
 * logged.
 */
export type BidirectionalHandler = {
  /** @param message without its length prefix, decompressed; overwritten once this returns */
  onMessage(message: Buffer): void;
  /** The client sends no more messages. The call goes on until the server ends it. */
  onHalfClose(): void;
  /** The queue is empty after `write` has returned false. */
  onWritable(): void;
  /**
   * Called once when the call is over. `ended`: by the handler itself. `cancelled`: by the client or the end
   * of its connection, or by the server for a deadline, a limit or its stop.
   */
  onOver(cause: 'ended' | 'cancelled'): void;
};

/**
 * Any number of requests and responses, in any order. A call may stay open for hours; only its deadline
 * bounds it.
 */
export type BidirectionalMethod = {
  readonly kind: 'bidirectional';
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Open calls of the method on all connections together. One more ends with RESOURCE_EXHAUSTED. */
  readonly maxOpenCalls: number;
  /** Called for each call before its first message. */
  open(call: BidirectionalCall): BidirectionalHandler;
};

/** Above it `write` returns false; bytes, counting 512 more for each queued message. */
export const writableBytes = 64 * 1024;
/** Above it the call ends, because its handler ignores what `write` returns; bytes, counted likewise. */
export const maxQueuedBytes = 1024 * 1024;
