import {
  Client,
  credentials,
  type CallOptions,
  type ChannelCredentials,
  type ClientReadableStream,
  type ClientUnaryCall,
  type Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import type { ClientHttp2Session, ClientSessionOptions } from 'node:http2';
import type { Socket } from 'node:net';
import type { Check } from '../../src/check/check-request.ts';
import { deny, type Allow, type Decision } from '../../src/check/decision.ts';
import { createAuthorizationService } from '../../src/envoy/authorization-service.ts';
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from '../../src/grpc/server.ts';
import { createResponder } from '../../src/envoy/check-response.ts';
import type { CheckRequest } from '../envoy/generated/envoy/service/auth/v3/CheckRequest.ts';
import type { CheckResponse__Output } from '../envoy/generated/envoy/service/auth/v3/CheckResponse.ts';
import type { HealthCheckResponse__Output } from '../envoy/generated/grpc/health/v1/HealthCheckResponse.ts';
import { createHealthService, type HealthService } from '../../src/grpc/health-service.ts';
import { authorizationDefinition, healthDefinition } from '../envoy/protocol.ts';
import { authorizationServiceName } from '../../src/envoy/method-names.ts';
import type { WantedHeaders } from '../../src/envoy/wanted-headers.ts';
import { createTransport, type Transport } from './transports.ts';
import { formatAddress, type Address } from '../../src/runtime/address.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import type { Log } from '../../src/runtime/log.ts';

const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  isDebug: () => false,
};

export const allowed = (overrides: Partial<Allow> = {}): Allow => ({
  kind: 'allow',
  token: undefined,
  upstream: { set: [], metadata: undefined },
  remove: [],
  ...overrides,
});

export const denied = deny;

/** A check request as Envoy sends it for `GET /` with these headers. */
export const checkMessage = (headers: Record<string, string> = {}): CheckRequest => ({
  attributes: { request: { http: { method: 'GET', path: '/', host: 'service', headers } } },
});

export type TestServer = {
  server: GrpcServer;
  transport: Transport;
  health: HealthService;
  target: string;
  decisions: Decision[];
  setReady(ready: boolean): void;
};

/** The real server around a given check. */
export async function startServer(
  check: Check,
  {
    headers,
    transport = createTransport('tcp'),
    ...options
  }: Partial<GrpcServerOptions> & { log?: Log; headers?: WantedHeaders; transport?: Transport } = {},
): Promise<TestServer> {
  let ready = true;
  const decisions: Decision[] = [];
  const health = createHealthService({ services: [authorizationServiceName], isReady: () => ready });
  const log = options.log ?? silentLog;
  const respond = createResponder({ denied: { detail: 'minimal', corsOrigins: [] }, mode: 'enforce' });
  const authorization = createAuthorizationService({
    check,
    respond,
    respondToFault: respond,
    record: (decision) => decisions.push(decision),
    ...(headers !== undefined && { headers }),
    clock: systemClock,
    log,
  });
  const server = createGrpcServer({
    address: transport.address,
    tls: transport.tls,
    methods: [authorization],
    health,
    drainMs: 2000,
    clock: systemClock,
    ...options,
    log,
  });
  await server.start();
  return {
    server,
    transport,
    health,
    target: targetOf(server.boundAddress()),
    decisions,
    setReady: (value) => {
      ready = value;
      health.refresh();
    },
  };
}

export const targetOf = (address: Address): string =>
  address.kind === 'unix' ? `unix:${address.path}` : formatAddress(address);

export const connectTo = (target: string, channelCredentials?: ChannelCredentials): Client =>
  new Client(target, channelCredentials ?? credentials.createInsecure(), {
    'grpc.enable_retries': 0,
    // A connection of its own for every client.
    'grpc.use_local_subchannel_pool': 1,
  });

/** A client of its own for a server, over the server's transport. */
export const connectToServer = ({ target, transport }: TestServer): Client =>
  connectTo(target, transport.channelCredentials);

/** A connection to a server, after its TLS handshake, on which nothing was said. */
export const openSocket = ({ server, transport }: TestServer): Socket =>
  transport.socket(server.boundAddress());

export const openSession = (
  { server, transport }: TestServer,
  options?: ClientSessionOptions,
): ClientHttp2Session => transport.session(server.boundAddress(), options).on('error', () => {});

export type CheckCall = { call: ClientUnaryCall; answer: Promise<CheckResponse__Output> };

export function startCheck(
  client: Client,
  message: CheckRequest,
  options: CallOptions = {},
  metadata?: Metadata,
): CheckCall {
  const { path, requestSerialize, responseDeserialize } = authorizationDefinition.Check;
  const { promise, resolve, reject } = Promise.withResolvers<CheckResponse__Output>();
  const done = (error: ServiceError | null, response?: CheckResponse__Output): void =>
    response === undefined ? reject(error ?? new Error('neither answer nor error')) : resolve(response);
  const call =
    metadata === undefined
      ? client.makeUnaryRequest(path, requestSerialize, responseDeserialize, message, options, done)
      : client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          message,
          metadata,
          options,
          done,
        );
  return { call, answer: promise };
}

export const check = (client: Client, message: CheckRequest, options?: CallOptions) =>
  startCheck(client, message, options).answer;

export function checkHealth(client: Client, service = ''): Promise<HealthCheckResponse__Output> {
  const { path, requestSerialize, responseDeserialize } = healthDefinition.Check;
  const { promise, resolve, reject } = Promise.withResolvers<HealthCheckResponse__Output>();
  client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, (error, response) =>
    response === undefined ? reject(error ?? new Error('neither answer nor error')) : resolve(response),
  );
  return promise;
}

export function watchHealth(client: Client, service = ''): ClientReadableStream<HealthCheckResponse__Output> {
  const { path, requestSerialize, responseDeserialize } = healthDefinition.Watch;
  return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service });
}
