import type { Connection } from './connection.ts';
import type { HeaderList } from './header-encoder.ts';

/** What is still to be sent, in order. */
export type Part =
  | { readonly kind: 'headers'; readonly list: HeaderList; readonly endStream: boolean }
  | { readonly kind: 'data'; readonly bytes: Buffer; sent: number };

/**
 * One request and its response. The connection calls what begins with `on`; what answers calls the connection. A stream that is over
 * hears of nothing more, and what it is still sent goes nowhere.
 */
export abstract class ServerStream {
  readonly connection: Connection;
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

  constructor(connection: Connection, id: number) {
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
