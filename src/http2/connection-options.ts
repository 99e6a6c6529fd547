import type { HeaderBounds } from './header-decoder.ts';
import type { HeaderList } from './header-encoder.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { RateLimitOptions } from './rate-limit.ts';
import type { RequestHead } from './request-head.ts';
import type { ServerConnection, ServerStream } from './server-stream.ts';

/** The same object serves all connections of a server. */
export type ConnectionOptions = {
  /** Creates the stream of a request. */
  createStream(connection: ServerConnection, id: number, head: RequestHead): ServerStream;
  /**
   * Called once when the connection has ended, whatever the cause. Its socket may still be open for a few
   * seconds.
   */
  onClosed(connection: ServerConnection): void;
  /** Called once after `onClosed`, when the connection's memory share is empty: at once or later. */
  onReleased(connection: ServerConnection): void;
  /** Shared counter behind `ServerConnection.idleSince`. */
  idleOrder: { count: number };
  /**
   * Called with a constant text when the client breaks the protocol or exceeds a limit, before the connection
   * ends.
   */
  onClientError(message: string): void;
  /**
   * Called when handling a read throws, which is a bug of ours. Only the connection that was read from ends.
   */
  onFault(thrown: unknown): void;
  /**
   * Every connection reads into this buffer, so what is read is valid only until the read has been handled.
   */
  readBuffer: Buffer;
  /** Bounds what the server keeps in memory for its clients. */
  budget: MemoryBudget;
  /** Field lists that nearly every response has. Only these enter the client's header table. */
  repeatedLists: ReadonlySet<HeaderList>;
  /** SETTINGS_MAX_CONCURRENT_STREAMS. Beyond it a request is reset with REFUSED_STREAM. */
  maxConcurrentStreams: number;
  /** SETTINGS_INITIAL_WINDOW_SIZE: what a client may send on one stream, padding included; bytes. */
  streamWindow: number;
  headerBounds: HeaderBounds;
  /**
   * Rate limit for frames that do no work: PING, SETTINGS, PRIORITY, RST_STREAM, empty DATA, frames for
   * closed streams. Exceeding it closes the connection with ENHANCE_YOUR_CALM.
   */
  controlFrameLimit: RateLimitOptions;
  /**
   * The same for client errors that fail a single request; each one costs the server a response or a reset.
   */
  errorLimit: RateLimitOptions;
  /** A monotonic clock for both rate limits; ms. */
  nowMs(): number;
};

/** The receive window of a connection, for the bodies of all its streams together; bytes. */
export const connectionWindow = 4 * 1024 * 1024;
/** How long a drain waits for the client's answer to its PING before it sends the final GOAWAY; ms. */
export const drainPingTimeoutMs = 1000;
/** How long the socket stays open after a connection error, so that the client can read GOAWAY; ms. */
export const errorCloseTimeoutMs = 1000;
/**
 * How long the socket stays open after an orderly end, so that the client can read its last responses; ms.
 */
export const closeTimeoutMs = 5000;
