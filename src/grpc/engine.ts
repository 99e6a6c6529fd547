import type { Socket } from 'node:net';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Method } from './method.ts';
import type { ServerBounds } from './server-bounds.ts';

/** Speaks HTTP/2 and gRPC on the connections of a listener. */
export type Engine = {
  accept(socket: Socket): void;
  /** Sends GOAWAY on every connection. Each connection ends with its last call. */
  drain(): void;
  /** Ends every open bidirectional call with UNAVAILABLE. @returns false when none was open */
  endCalls(): boolean;
};

export type EngineOptions = {
  /** By path. */
  readonly methods: ReadonlyMap<string, Method>;
  readonly bounds: ServerBounds;
  /**
   * Age and idle time of a connection are bounded on TCP. Only the local Envoy can open the Unix socket, and
   * closing a connection under it may cost a request.
   */
  readonly isTcp: boolean;
  readonly isTls: boolean;
  readonly clock: Clock;
  readonly log: Log;
};
