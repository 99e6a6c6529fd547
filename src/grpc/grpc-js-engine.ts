import { Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js';
import { checkMethod } from '../envoy/check-method.ts';
import { answerChecksOnStreams } from '../envoy/check-streams.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { healthMethods } from './health-method.ts';
import { ageGraceMs, probeTimeoutMs, type ServerBounds } from './server-bounds.ts';

/**
 * gRPC by grpc-js on `node:http2`, for clients from elsewhere.
 * @param answersOnStreams false: grpc-js handles checks too, at twice the cost
 */
export function createGrpcJsEngine(options: EngineOptions, answersOnStreams: boolean): Engine {
  const { authorization, health, bounds, isTcp, log } = options;
  const server = new Server(channelOptions(bounds, isTcp));
  const check = checkMethod(authorization);
  server.addService(check.definition, check.handlers);
  const healthMethod = healthMethods(health);
  server.addService(healthMethod.definition, healthMethod.handlers);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const { maxMessageBytes } = bounds;
  if (answersOnStreams && !answerChecksOnStreams(server, { service: authorization, maxMessageBytes }))
    log.warn('grpc-js is of an unknown version: checks are answered the ordinary way, at twice the cost');
  return {
    accept: (socket) => injector.injectConnection(socket),
    // Sends GOAWAY on every connection. When it calls back says nothing: Node's Http2Server.close begins to close the
    // sessions itself, and grpc-js takes a session that is closing for closed.
    drain: () => server.tryShutdown(() => {}),
  };
}

function channelOptions(bounds: ServerBounds, isTcp: boolean): ServerOptions {
  return {
    'grpc.max_receive_message_length': bounds.maxMessageBytes,
    'grpc.max_concurrent_streams': bounds.maxConcurrentStreams,
    'grpc.keepalive_time_ms': bounds.keepaliveMs,
    'grpc.keepalive_timeout_ms': probeTimeoutMs,
    // Nobody asks for channelz, and it counts every call.
    'grpc.enable_channelz': 0,
    ...(isTcp && {
      'grpc.max_connection_age_ms': bounds.maxConnectionAgeMs,
      'grpc.max_connection_age_grace_ms': ageGraceMs,
      'grpc.max_connection_idle_ms': bounds.maxConnectionIdleMs,
    }),
  };
}
