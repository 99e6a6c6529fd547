import type { Socket } from 'node:net';
import type { Log } from '../runtime/log.ts';
import type { AuthorizationService } from '../envoy/authorization-service.ts';
import type { HealthService } from './health-service.ts';
import type { ServerBounds } from './server-bounds.ts';

/** What speaks HTTP/2 and gRPC on the connections of a listener. */
export type Engine = {
  accept(socket: Socket): void;
  /** Tells every client to open no further calls; each connection ends with its last one. */
  drain(): void;
};

export type EngineOptions = {
  readonly authorization: AuthorizationService;
  readonly health: HealthService;
  readonly bounds: ServerBounds;
  /** Age and idle time are bounded on TCP: only Envoy can open the Unix socket, and a connection closed under it may cost a request. */
  readonly isTcp: boolean;
  readonly log: Log;
};
