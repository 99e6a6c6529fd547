import { acceptWaiting, listen, type Address } from '../runtime/address.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import { chooseEngine, type EngineName } from './engine-choice.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { createHealthMethods } from './health-methods.ts';
import type { HealthService } from './health-service.ts';
import { createListener } from './listener.ts';
import type { Method } from './method.ts';
import { createNativeEngine } from './native-engine.ts';
import { defaultBounds, type ServerBounds } from './server-bounds.ts';
import type { TlsFiles } from './tls-listener.ts';

/**
 * Time for clients to read the status of bidirectional calls that were open until the end of the drain; ms.
 */
const endCallsMs = 500;

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
  /** Default `auto`: `native` where the clients are known, else `grpc-js`. */
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
 * A gRPC server on a listener of our own, which bounds the number of connections and the time before the
 * first byte, and replaces the socket file of a process that has ended.
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
    isTls: tls !== undefined,
    clock,
    log,
  };
  let engine: Engine | undefined;
  const listener = createListener({
    tls,
    // The native engine bounds them itself, because it can close an idle one.
    maxConnections: engineName === 'native' ? undefined : bounds.maxConnections,
    bounds,
    certificatesEveryMs: options.certificatesEveryMs,
    log,
    onConnection: (socket) => engine?.accept(socket),
  });
  listener.server.on('drop', () =>
    log.warn('connection refused: too many are open', { count: bounds.maxConnections }),
  );

  async function start(): Promise<void> {
    engine = await createEngine(engineName, engineOptions);
    await listen(listener.server, address, 'listen');
  }

  async function stop(): Promise<void> {
    health.close();
    await acceptWaiting(listener.server);
    // The port closes before GOAWAY is sent. A client that reads GOAWAY opens another connection at once. If
    // that one still waited to be accepted when the port closes, it would be reset, with the check that the
    // client has sent on it.
    const closed = listener.close();
    let force = setTimeout(() => {
      log.warn('drain time exceeded; open calls were closed', { part: 'grpc' });
      if (engine?.endCalls() === true) force = setTimeout(() => listener.destroyConnections(), endCallsMs);
      else listener.destroyConnections();
    }, options.drainMs);
    engine?.drain();
    await closed;
    clearTimeout(force);
  }

  function boundAddress(): Address {
    const bound = listener.server.address();
    return address.kind === 'tcp' && typeof bound === 'object' && bound !== null
      ? { ...address, port: bound.port }
      : address;
  }

  return { name: 'grpc', engine: engineName, start, stop, boundAddress };
}

async function createEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
  if (name === 'native') return createNativeEngine(options);
  // Loaded only when it is needed: it takes a tenth of the memory and of the time to start.
  const { createGrpcJsEngine } = await import('./grpc-js-engine.ts');
  return createGrpcJsEngine(options);
}
