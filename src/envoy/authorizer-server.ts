import { Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js';
import { listen, type Address } from '../runtime/address.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { AuthorizationService } from './authorization-service.ts';
import { checkMethod } from './check-method.ts';
import { answerChecksOnStreams } from './check-streams.ts';
import type { HealthService } from './health-service.ts';
import { healthDefinition } from './health-protocol.ts';
import { createTransport, type TlsFiles } from './transport.ts';

/** What one client, or all of them together, may ask of the port. */
export type ServerBounds = {
  /** A check request; bytes. Envoy's own default limit for all headers of a request is 60 KiB. */
  readonly maxMessageBytes: number;
  /** On one connection; the recommended Envoy configuration says the same. Envoy opens another one at the limit. */
  readonly maxConcurrentStreams: number;
  readonly maxConnections: number;
  /** TCP only: a connection is asked to close after this time, give or take a tenth; ms. */
  readonly maxConnectionAgeMs: number;
  /** TCP only. Longer than Envoy's own idle time of an hour, so that Envoy is the one to close. */
  readonly maxConnectionIdleMs: number;
  /** A connection is probed this often and closed when 10 s pass without an answer; ms. */
  readonly keepaliveMs: number;
  /** For a TLS handshake, and for a connection's first byte; ms. */
  readonly helloTimeoutMs: number;
};

export const defaultBounds: ServerBounds = {
  maxMessageBytes: 128 * 1024,
  maxConcurrentStreams: 1024,
  maxConnections: 512,
  maxConnectionAgeMs: 3_600_000,
  maxConnectionIdleMs: 3_900_000,
  keepaliveMs: 30_000,
  helloTimeoutMs: 10_000,
};

export type AuthorizerServerOptions = {
  address: Address;
  tls: TlsFiles | undefined;
  authorization: AuthorizationService;
  health: HealthService;
  /** Time for open calls to end after `stop`; ms. */
  drainMs: number;
  bounds?: Partial<ServerBounds>;
  /** How often certificate files are looked at; default 5000. */
  certificatesEveryMs?: number;
  /** False: grpc-js handles checks too, at twice the cost; default true. */
  answersOnStreams?: boolean;
  log: Log;
};

export type AuthorizerServer = Part & {
  /** Where it listens, with the port that was given for port 0. Only after `start`. */
  boundAddress(): Address;
};

/**
 * The gRPC server that Envoy asks: grpc-js on a listener of our own, because grpc-js bounds neither connections
 * nor the time before the first byte, can't replace a dead socket, and its forced end leaves connections open.
 * Node bounds what neither sets: header lists to 64 KiB and 128 pairs, and rapid resets by nghttp2's limit.
 */
export function createAuthorizerServer(options: AuthorizerServerOptions): AuthorizerServer {
  const { address, health, log } = options;
  const bounds = { ...defaultBounds, ...options.bounds };
  const grpcServer = new Server(channelOptions(bounds, address));
  const { definition, handlers } = checkMethod(options.authorization);
  grpcServer.addService(definition, handlers);
  grpcServer.addService(healthDefinition, health.handlers);
  const injector = grpcServer.createConnectionInjector(ServerCredentials.createInsecure());
  if (options.answersOnStreams !== false) answerOnStreams(grpcServer, bounds, options);
  const transport = createTransport({
    tls: options.tls,
    maxConnections: bounds.maxConnections,
    helloTimeoutMs: bounds.helloTimeoutMs,
    certificatesEveryMs: options.certificatesEveryMs,
    log,
    onConnection: (socket) => injector.injectConnection(socket),
  });
  transport.server.on('drop', () =>
    log.warn('connection refused: too many are open', { count: bounds.maxConnections }),
  );

  async function stop(): Promise<void> {
    health.drain();
    const closed = transport.close();
    const force = setTimeout(() => {
      log.warn('open calls are cut off', { part: 'grpc' });
      transport.destroyConnections();
    }, options.drainMs);
    // Sends GOAWAY on every connection; each ends with its last call. When it calls back says nothing: Node's
    // Http2Server.close begins to close the sessions itself, and grpc-js takes a session that is closing for closed.
    grpcServer.tryShutdown(() => {});
    await closed;
    clearTimeout(force);
  }

  function boundAddress(): Address {
    const bound = transport.server.address();
    return address.kind === 'tcp' && typeof bound === 'object' && bound !== null
      ? { ...address, port: bound.port }
      : address;
  }

  return { name: 'grpc', start: () => listen(transport.server, address, 'listen'), stop, boundAddress };
}

function answerOnStreams(
  grpcServer: Server,
  { maxMessageBytes }: ServerBounds,
  { authorization, log }: AuthorizerServerOptions,
): void {
  const done = answerChecksOnStreams(grpcServer, { service: authorization, maxMessageBytes });
  if (!done)
    log.warn('grpc-js is of an unknown version: checks are answered the ordinary way, at twice the cost');
}

function channelOptions(bounds: ServerBounds, address: Address): ServerOptions {
  return {
    'grpc.max_receive_message_length': bounds.maxMessageBytes,
    'grpc.max_concurrent_streams': bounds.maxConcurrentStreams,
    'grpc.keepalive_time_ms': bounds.keepaliveMs,
    'grpc.keepalive_timeout_ms': 10_000,
    // Nobody asks for channelz, and it counts every call.
    'grpc.enable_channelz': 0,
    // Only Envoy can open the Unix socket, and a connection closed under it may cost a request.
    ...(address.kind === 'tcp' && {
      'grpc.max_connection_age_ms': bounds.maxConnectionAgeMs,
      'grpc.max_connection_age_grace_ms': 10_000,
      'grpc.max_connection_idle_ms': bounds.maxConnectionIdleMs,
    }),
  };
}
