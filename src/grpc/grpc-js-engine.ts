import {
  Server,
  ServerCredentials,
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  type ServerOptions,
} from '@grpc/grpc-js';
import { Fault } from '../runtime/fault.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { bidirectionalDefinition, bidirectionalHandler } from './grpc-js-bidirectional.ts';
import { lengthPrefixBytes } from './length-prefix.ts';
import {
  malformedRequest,
  type Method,
  type ResponseStream,
  type ServerStreamingMethod,
  type UnaryMethod,
} from './method.ts';
import { OpenCalls } from './open-calls.ts';
import { ageGraceMs, probeTimeoutMs, type ServerBounds } from './server-bounds.ts';

/** In an object, because grpc-js takes an undefined request for a missing one. */
type Call = { readonly request: unknown };

/**
 * gRPC by grpc-js on `node:http2`, for clients that have not proven who they are. The methods decode and
 * encode their own messages, so a message means the same to both engines.
 */
export function createGrpcJsEngine({ methods, bounds, isTcp, log }: EngineOptions): Engine {
  const all = [...methods.values()];
  const server = new Server(channelOptions(bounds, { isTcp, hasLongCalls: all.some(isBidirectional) }));
  const openCalls = new OpenCalls();
  const onFault = (thrown: unknown): void => log.error('call failed for a defect', { err: thrown });
  server.addService(
    Object.fromEntries(all.map((method) => [method.path, definitionOf(method)])),
    Object.fromEntries(all.map((method) => [method.path, handlerOf(method, { openCalls, onFault })])),
  );
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    accept: (socket) => injector.injectConnection(socket),
    // Sends GOAWAY on every connection. Its callback is of no use: `Http2Server.close` of Node begins to
    // close the sessions, and grpc-js counts a closing session as closed. The listener waits for the sockets
    // instead.
    drain: () => server.tryShutdown(() => {}),
    endCalls: () => openCalls.endAll(),
  };
}

const isBidirectional = ({ kind }: Method): boolean => kind === 'bidirectional';

function definitionOf(method: Method): MethodDefinition<Call, Buffer> | MethodDefinition<Buffer, Buffer> {
  if (method.kind === 'bidirectional') return bidirectionalDefinition(method, unused);
  return {
    path: method.path,
    requestStream: false,
    responseStream: method.kind === 'server-streaming',
    requestSerialize: unused,
    requestDeserialize: (bytes) => {
      const request = method.decode(bytes);
      if (request === malformedRequest) throw new Fault('ERR_INTERNAL', 'malformed request');
      return { request };
    },
    // grpc-js writes the prefix itself.
    responseSerialize: (response) => response.subarray(lengthPrefixBytes),
    responseDeserialize: unused,
  };
}

/** The client's half of a definition. */
function unused(): never {
  throw new Fault('ERR_INTERNAL', 'a server does not send requests');
}

type Handler =
  | handleUnaryCall<Call, Buffer>
  | handleServerStreamingCall<Call, Buffer>
  | handleBidiStreamingCall<Buffer, Buffer>;

function handlerOf(method: Method, options: Parameters<typeof bidirectionalHandler>[1]): Handler {
  switch (method.kind) {
    case 'unary':
      return unaryHandler(method);
    case 'server-streaming':
      return serverStreamingHandler(method);
    case 'bidirectional':
      return bidirectionalHandler(method, options);
  }
}

function unaryHandler(method: UnaryMethod): handleUnaryCall<Call, Buffer> {
  return ({ request }, answer) =>
    method.answer(request.request, {
      send: (response) => answer(null, response),
      // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- gRPC's numbers, which grpc-js has as an enum
      reject: (code, details) => answer({ code, details }),
    });
}

function serverStreamingHandler(method: ServerStreamingMethod): handleServerStreamingCall<Call, Buffer> {
  return (call) => {
    const responses: ResponseStream = {
      write: (response) => void call.write(response),
      reject: (code, details) => void call.emit('error', { code, details }),
    };
    call.on('cancelled', () => method.closed(responses));
    call.on('close', () => method.closed(responses));
    method.open(call.request.request, responses);
  };
}

function channelOptions(
  bounds: ServerBounds,
  { isTcp, hasLongCalls }: { isTcp: boolean; hasLongCalls: boolean },
): ServerOptions {
  return {
    'grpc.max_receive_message_length': bounds.maxMessageBytes,
    'grpc.max_concurrent_streams': bounds.maxConcurrentStreams,
    'grpc.keepalive_time_ms': bounds.keepaliveMs,
    'grpc.keepalive_timeout_ms': probeTimeoutMs,
    // Nobody reads channelz, and it counts every call.
    'grpc.enable_channelz': 0,
    ...(isTcp && {
      // With calls that stay open there is no age: grpc-js destroys an aged connection at its next keepalive
      // PING, which fails on a session that is closing, whatever the grace period is.
      ...(!hasLongCalls && {
        'grpc.max_connection_age_ms': bounds.maxConnectionAgeMs,
        'grpc.max_connection_age_grace_ms': ageGraceMs,
      }),
      'grpc.max_connection_idle_ms': bounds.maxConnectionIdleMs,
    }),
  };
}
