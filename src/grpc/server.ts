import { acceptWaiting, isLoopback, listen, type Address } from '../runtime/address.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { createHealthMethods } from './health-methods.ts';
import type { HealthService } from './health-service.ts';
import { createTransport, type TlsFiles } from './listener.ts';
import type { Method } from './method.ts';
import { createNativeEngine } from './native-engine.ts';
import { defaultBounds, type ServerBounds } from './server-bounds.ts';

export type EngineName = 'native' | 'grpc-js';

export type GrpcServerOptions = {
  address: Address;
  tls: TlsFiles | undefined;
  /** Besides those of `grpc.health.v1.Health`. */
  methods: readonly Method[];
  health: HealthService;
  /** Time for open calls to end after `stop`; ms. */
  drainMs: number;
  bounds?: Partial<ServerBounds>;
  /** How often certificate files are checked for changes; default 5000. */
  certificatesEveryMs?: number;
  /** Default `auto`: `native` where only this machine can connect, else `grpc-js`. */
  engine?: EngineName | 'auto';
  clock: Clock;
  log: Log;
};

export type GrpcServer = Part & {
  readonly engine: EngineName;
  /** Where it listens, with the actual port for port 0. Only after `start`. */
  boundAddress(): Address;
};

/**
 * A gRPC server on a listener of our own, which bounds the number of connections and the time before the first byte, and
 * replaces the socket file of a process that has ended.
 */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const { address, tls, health, clock, log } = options;
  const bounds = { ...defaultBounds, ...options.bounds };
  const engineName = chooseEngine(options);
  const methods = [...options.methods, ...createHealthMethods(health)];
  const engineOptions = {
    methods: new Map(methods.map((method) => [method.path, method])),
    bounds,
    isTcp: address.kind === 'tcp',
    clock,
    log,
  };
  let engine: Engine | undefined;
  const transport = createTransport({
    tls,
    // The native engine bounds them itself, because it can close an idle one.
    maxConnections: engineName === 'native' ? undefined : bounds.maxConnections,
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
    // The port closes before GOAWAY is sent. A client that reads GOAWAY opens another connection at once. If that one
    // still waited to be accepted when the port closes, it would be reset, with the check that the client has sent on it.
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
function chooseEngine({ engine = 'auto', address, tls }: GrpcServerOptions): EngineName {
  if (engine !== 'auto') return engine;
  const isLocal = address.kind === 'unix' || isLoopback(address.host);
  return isLocal && tls === undefined ? 'native' : 'grpc-js';
}

async function createEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
  if (name === 'native') return createNativeEngine(options);
  // Loaded only when it is needed: it takes a tenth of the memory and of the time to start.
  const { createGrpcJsEngine } = await import('./grpc-js-engine.ts');
  return createGrpcJsEngine(options);
}
