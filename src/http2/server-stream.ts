import type { HeaderList } from './header-encoder.ts';
import type { MemoryShare } from './memory-budget.ts';

/** A connection as its streams and the server around it see it: what `connection.ts` implements. */
export type ServerConnection = {
  /** What is kept for the client. */
  readonly share: MemoryShare;
  /** Moves with every `nextRound`. */
  readonly round: number;
  /** Of a new stream; octets. */
  readonly initialSendWindow: number;
  readonly openStreams: number;
  /** Requests so far. */
  readonly requests: number;
  /** Larger for a connection that became idle later: when its last open request was over, or else when it was accepted. */
  readonly idleSince: number;
  /** A sign of life is owed. */
  readonly isPinged: boolean;
  /** Sends the head of a response, or trailers; `list` should be the same array for the same fields. */
  sendHeaders(stream: ServerStream, list: HeaderList, endStream: boolean): void;
  /** Sends a part of a response's body. */
  sendData(stream: ServerStream, bytes: Buffer): void;
  /** Counts a mistake of the client's that has a request fail. @returns false when it was one too many: the connection is over */
  mistake(): boolean;
  /** Asks the client for a sign of life. @returns false when the last one is still owed, or the connection is over */
  ping(): boolean;
  /** Begins another round, and tells streams whose client has been sending since before the last one. */
  nextRound(): void;
  /** Takes no new requests once the client knows; the connection ends with its last response. */
  drain(): void;
  destroy(): void;
};

/** What is still to be sent, in order. */
export type Part =
  | { readonly kind: 'headers'; readonly list: HeaderList; readonly endStream: boolean }
  | { readonly kind: 'data'; readonly bytes: Buffer; sent: number };

/**
 * One request and its response. The connection calls what begins with `on`; what answers calls the connection. A stream that is over
 * hears of nothing more, and what it is still sent goes nowhere.
 */
export abstract class ServerStream {
  readonly connection: ServerConnection;
  readonly id: number;
  /** The client has sent all. */
  isRemoteClosed = false;
  /** All was sent, or nothing more is to be. */
  isLocalClosed = false;
  /** What may be sent on it; octets. */
  sendWindow: number;
  /** undefined while nothing waits. */
  waiting: Part[] | undefined = undefined;
  /** The connection's round in which that began. */
  waitingSince = 0;
  /** What it has taken of the connection's share for that; octets. */
  waitingBytes = 0;
  received = 0;
  /** By the request's head; -1 when it doesn't say. */
  announced = -1;
  /** The connection's round in which it was opened. */
  readonly round: number;

  constructor(connection: ServerConnection, id: number) {
    this.connection = connection;
    this.id = id;
    this.sendWindow = connection.initialSendWindow;
    this.round = connection.round;
  }

  /** Its head is here, and it may be answered. */
  abstract onHead(): void;
  /** Octets of the request's body, which are others once this returns and, after the last of them, `onEnd` too. */
  abstract onData(bytes: Buffer, isLast: boolean): void;
  /** The client has sent all. */
  abstract onEnd(): void;
  /** The client has given up or doesn't take the answer, or its connection has ended. */
  abstract onReset(): void;
  /** The client has not sent all, a long time after it began. */
  abstract onOverdue(): void;
}
