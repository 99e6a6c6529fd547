import type { HeaderBounds } from './header-decoder.ts';
import type { HeaderList } from './header-encoder.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { RequestHead } from './request-head.ts';
import type { ServerConnection, ServerStream } from './server-stream.ts';

export type ConnectionOptions = {
  /** Makes the stream for a request. */
  open(connection: ServerConnection, id: number, head: RequestHead): ServerStream;
  /** Told once, when the connection is over for whatever reason. */
  onOver(connection: ServerConnection): void;
  /** Called once, then or later, when nothing is kept for the client any more. */
  onFree(connection: ServerConnection): void;
  /** Counts how often any of the connections became idle. */
  idleOrder: { count: number };
  /** An error of the peer's, in our words. */
  onPeerError(message: string): void;
  /** A defect of ours while something was read: its connection is ended, and the others go on. */
  onFault(thrown: unknown): void;
  /** Where all connections read into. */
  readBuffer: Buffer;
  /** What is kept for clients is counted there. */
  budget: MemoryBudget;
  /** Lists of fields that nearly every response has. */
  repeatedLists: ReadonlySet<HeaderList>;
  maxConcurrentStreams: number;
  /** Of one request's body, padding included; octets. It is not opened again. */
  streamWindow: number;
  headerBounds: HeaderBounds;
  /** How often a peer may ask for nothing: so often at once, and so many more a second. */
  strikes: { most: number; perSecond: number };
  /** The same for mistakes that have one request fail, each of which is told. */
  mistakes: { most: number; perSecond: number };
};

/** Of all bodies of a connection that arrive at once; octets. What has arrived opens it again. */
export const connectionWindow = 4 * 1024 * 1024;
/** For a peer that doesn't answer the ping of a drain, and for one that made an error and doesn't close; ms. */
export const patienceMs = 1000;
/** For a peer that may still have to read its last answers; ms. */
export const closingMs = 5000;
