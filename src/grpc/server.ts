import { acceptWaiting, isLoopback, listen, type Address } from '../runtime/address.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { AuthorizationService } from '../envoy/authorization-service.ts';
import type { Engine, EngineOptions } from './engine.ts';
import type { HealthService } from './health-service.ts';
import { createLeanEngine } from './native-engine.ts';
import { defaultBounds, type ServerBounds } from './server-bounds.ts';
import { createTransport, type TlsFiles } from './listener.ts';

/** `lean` and its two deputies: grpc-js with checks answered on its streams, and grpc-js as it is. */
export type EngineName = 'lean' | 'grpc-js' | 'grpc-js-handlers';

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
  /** Default `auto`: `lean` where only this machine can connect, else `grpc-js`. */
  engine?: EngineName | 'auto';
  log: Log;
};

export type AuthorizerServer = Part & {
  readonly engine: EngineName;
  /** Where it listens, with the port that was given for port 0. Only after `start`. */
  boundAddress(): Address;
};

/**
 * The gRPC server that Envoy asks, on a listener of our own, which bounds connections and the time before the first
 * byte, and replaces a dead socket.
 */
export function createAuthorizerServer(options: AuthorizerServerOptions): AuthorizerServer {
  const { address, tls, authorization, health, log } = options;
  const bounds = { ...defaultBounds, ...options.bounds };
  const engineName = chooseEngine(options);
  const engineOptions = { authorization, health, bounds, isTcp: address.kind === 'tcp', log };
  let engine: Engine | undefined;
  const transport = createTransport({
    tls,
    // The native engine bounds them itself: it can ask an idle one to leave.
    maxConnections: engineName === 'lean' ? undefined : bounds.maxConnections,
    helloTimeoutMs: bounds.helloTimeoutMs,
    certificatesEveryMs: options.certificatesEveryMs,
    log,
    onConnection: (socket) => engine?.accept(socket),
  });
  transport.server.on('drop', () =>
    log.warn('connection refused: too many are open', { count: bounds.maxConnections }),
  );

  async function start(): Promise<void> {
    engine = await createEngine(engineName, engineOptions);
    await listen(transport.server, address, 'listen');
  }

  async function stop(): Promise<void> {
    health.close();
    await acceptWaiting(transport.server);
    // The port closes before GOAWAY is sent. A client that reads GOAWAY opens another connection at once, and one
    // that waits to be accepted when the port closes is reset, with the check that the client has sent on it.
    const closed = transport.close();
    const force = setTimeout(() => {
      log.warn('open calls are cut off', { part: 'grpc' });
      transport.destroyConnections();
    }, options.drainMs);
    engine?.drain();
    await closed;
    clearTimeout(force);
  }

  function boundAddress(): Address {
    const bound = transport.server.address();
    return address.kind === 'tcp' && typeof bound === 'object' && bound !== null
      ? { ...address, port: bound.port }
      : address;
  }

  return { name: 'grpc', engine: engineName, start, stop, boundAddress };
}

/**
 * Our own HTTP/2 talks to the proxy beside it. A port that others reach is left to the implementation that the whole
 * world tests.
 */
function chooseEngine({ engine = 'auto', address, tls }: AuthorizerServerOptions): EngineName {
  if (engine !== 'auto') return engine;
  const isLocal = address.kind === 'unix' || isLoopback(address.host);
  return isLocal && tls === undefined ? 'lean' : 'grpc-js';
}

async function createEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
  if (name === 'lean') return createLeanEngine(options);
  // Loaded only when it is needed: it takes a tenth of the memory and of the time to start.
  const { createGrpcJsEngine } = await import('./grpc-js-engine.ts');
  return createGrpcJsEngine(options, name === 'grpc-js');
}
