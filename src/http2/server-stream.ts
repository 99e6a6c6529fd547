import type { HeaderList } from './header-encoder.ts';
import type { MemoryShare } from './memory-budget.ts';

/** What streams and the server around them use of a connection. Implemented by `Connection`. */
export type ServerConnection = {
  /** The memory that is kept for this client. */
  readonly share: MemoryShare;
  /** Number of calls of `sweep` so far. */
  readonly sweeps: number;
  /** The send window of a new stream (the client's SETTINGS_INITIAL_WINDOW_SIZE); bytes. */
  readonly initialSendWindow: number;
  readonly openStreams: number;
  /** Number of requests so far. */
  readonly requests: number;
  /** An ordinal, not a time: larger for a connection that became idle later. A new connection is idle. */
  readonly idleSince: number;
  /** A keepalive PING has not been acknowledged yet. */
  readonly isPingPending: boolean;
  /**
   * Sends a response's header fields or trailers. Pass the same array for the same fields: its encoding is
   * cached.
   */
  sendHeaders(stream: ServerStream, list: HeaderList, endStream: boolean): void;
  /** Sends bytes of a response's body, which are queued while the client's windows are closed. */
  sendData(stream: ServerStream, bytes: Buffer): void;
  /**
   * Reopens the stream's receive window, except for the bytes that the stream still holds. Sends a
   * WINDOW_UPDATE only when half of `streamWindow` or more comes free, so a stream that must hold n bytes at
   * once needs a window of 2n. Without a call the window is the limit of the whole request body.
   */
  reopenWindow(stream: ServerStream, heldBytes: number): void;
  /** Sends RST_STREAM, drops what is queued, and calls `onReset`. Does nothing on a closed stream. */
  resetStream(stream: ServerStream, code: number): void;
  /**
   * Charges `errorLimit` for a client error that fails one request.
   * @returns false when the limit is exceeded: the connection has ended, and the request needs no response
   */
  chargeError(): boolean;
  /**
   * Sends a keepalive PING.
   * @returns false when the last one is still pending, or the connection has ended
   */
  ping(): boolean;
  /**
   * Call at a steady interval. Resets streams whose response has been queued since before the last call,
   * unless they are long-lived, and calls `onRequestTimeout` on streams whose request has been incomplete
   * since before it.
   */
  sweep(): void;
  /** Sends GOAWAY. The connection ends after its last response. */
  drain(): void;
  /** Ends the connection at once. */
  destroy(): void;
};

/** A part of a response that waits for the client's windows or for the socket. */
export type QueuedFrame =
  | { readonly kind: 'headers'; readonly list: HeaderList; readonly endStream: boolean }
  | { readonly kind: 'data'; readonly bytes: Buffer; sent: number };

/**
 * One request and its response. The connection calls the `on` methods; subclasses respond through the
 * connection. After the stream has closed none of them is called, and what is sent on it is dropped.
 */
export abstract class ServerStream {
  readonly connection: ServerConnection;
  readonly id: number;
  /** The client has sent END_STREAM, or the stream was reset. */
  isRemoteClosed = false;
  /** We have sent END_STREAM, or the stream was reset. */
  isLocalClosed = false;
  /**
   * What the client still accepts on this stream; bytes. Negative after the client has shrunk its initial
   * window.
   */
  sendWindow: number;
  /** undefined while nothing waits. Owned by `Sender`, as are the next two. */
  sendQueue: QueuedFrame[] | undefined = undefined;
  /** The value of `connection.sweeps` when the queue was created. */
  queuedAtSweep = 0;
  /** What the queue has reserved of the connection's memory share; bytes. */
  queuedBytes = 0;
  /** What the client has sent against the stream's receive window, padding included; bytes. */
  receivedBytes = 0;
  /** What is still missing of the request's content-length; bytes. -1 when the request has none. */
  contentLengthLeft = -1;
  /** The value of `connection.sweeps` when the stream was opened. */
  readonly openedAtSweep: number;

  constructor(connection: ServerConnection, id: number) {
    this.connection = connection;
    this.id = id;
    this.sendWindow = connection.initialSendWindow;
    this.openedAtSweep = connection.sweeps;
  }

  /**
   * The stream may stay open for hours: its queue has no time limit, and a reset by the client is not charged
   * to the rate limit of control frames. A stream should say so only once it has responded. Otherwise a
   * client could open and reset streams without limit and without waiting (CVE-2023-44487).
   */
  get isLongLived(): boolean {
    return false;
  }

  /** What was queued has been sent, and the stream is still open. */
  onQueueSent(): void {}

  /** The header fields have arrived. The stream may respond from now on. */
  abstract onHead(): void;
  /**
   * Bytes of the request's body. They are overwritten after this returns; with `isLast`, after `onEnd`
   * returns.
   */
  abstract onData(bytes: Buffer, isLast: boolean): void;
  /** The client has sent END_STREAM. */
  abstract onEnd(): void;
  /** The stream was reset by either side, or its connection has ended. */
  abstract onReset(): void;
  /**
   * The request is still incomplete at the second sweep after it began. Called again at every further sweep.
   */
  abstract onRequestTimeout(): void;
}
