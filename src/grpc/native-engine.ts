import type { Socket } from 'node:net';
import type { ConnectionOptions } from '../http2/connection-options.ts';
import { Connection } from '../http2/connection.ts';
import { MemoryBudget } from '../http2/memory-budget.ts';
import type { RequestHead } from '../http2/request-head.ts';
import type { ServerConnection, ServerStream } from '../http2/server-stream.ts';
import { BidirectionalStream } from './bidirectional-stream.ts';
import { FailedStream, ServerStreamingStream, UnaryStream } from './call-streams.ts';
import { ConnectionLimit, uncountedMemory, type ConnectionMemory } from './connection-limit.ts';
import { createDeadlines, type TimedCall } from './deadlines.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { repeatedLists } from './failure.ts';
import { lengthPrefixBytes } from './length-prefix.ts';
import { OpenCalls } from './open-calls.ts';
import { readGrpcRequestHead, type GrpcRequestHead } from './request-head.ts';
import { ageGraceMs, probeTimeoutMs, type ServerBounds } from './server-bounds.ts';

const mebibyte = 1024 * 1024;
/** Measured: 58 KiB with TLS 1.3, 45 KiB with TLS 1.2. */
const tlsConnectionBytes = 56 * 1024;
const budgetBounds = {
  // Less than the heap that a sidecar is given.
  maxSharedBytes: 24 * mebibyte,
  maxConnectionBytes: 8 * mebibyte,
  guaranteedBytes: 32 * 1024,
};

/**
 * gRPC on our own HTTP/2, which implements what an ext_authz server needs and no more. Cost: a fifth of the
 * CPU time of gRPC on `node:http2`, because a call allocates its stream and little else.
 */
export function createNativeEngine(options: EngineOptions): Engine {
  const { bounds, log } = options;
  const open = new Map<ServerConnection, { readonly socket: Socket; readonly stopUpkeep: () => void }>();
  const budget = new MemoryBudget(budgetBounds);
  const limit = new ConnectionLimit<ServerConnection>(
    bounds,
    options.isTls ? tlsMemory(budget) : uncountedMemory,
  );
  const openCalls = new OpenCalls();
  const warnOfLimit = createLimitWarning(options);
  const connectionOptions: ConnectionOptions = {
    createStream: createCalls(options, openCalls),
    onClosed: (connection) => {
      const { socket, stopUpkeep } = open.get(connection) ?? {};
      stopUpkeep?.();
      open.delete(connection);
      limit.ended(connection, socket?.destroyed === false);
    },
    onReleased: (connection) => limit.freed(connection),
    idleOrder: { count: 0 },
    onClientError: (message) => log.debug('connection closed for an error of its client', { cause: message }),
    onFault: (thrown) => log.error('connection closed for a defect', { err: thrown }),
    // All connections share one, because a read is processed before the next.
    readBuffer: Buffer.allocUnsafeSlow(64 * 1024),
    budget,
    repeatedLists,
    maxConcurrentStreams: bounds.maxConcurrentStreams,
    // For the message and some padding: the window of a call is never extended.
    streamWindow: 2 * (bounds.maxMessageBytes + lengthPrefixBytes),
    // Envoy with tracing sends far less.
    headerBounds: { maxListBytes: 16 * 1024, maxFields: 128 },
    // An overloaded Envoy resets calls by the thousand; a reset costs less than an answer.
    controlFrameLimit: { burst: 10_000, perSecond: 1000 },
    // Envoy makes none.
    errorLimit: { burst: 1000, perSecond: 100 },
    nowMs: () => options.clock.monotonicMs(),
  };

  return {
    accept: (socket) => {
      const place = limit.admit();
      if (place !== 'free') warnOfLimit(place);
      if (place === 'full') return void socket.destroy();
      const connection = new Connection(socket, connectionOptions);
      limit.add(connection);
      open.set(connection, { socket, stopUpkeep: keepUp(connection, options, openCalls) });
      socket.once('close', () => limit.socketClosed(connection));
    },
    drain: () => {
      for (const connection of open.keys()) connection.drain();
    },
    endCalls: () => openCalls.endAll(),
  };
}

/**
 * Counts a TLS connection in the memory budget. What it takes is outside the heap, in OpenSSL and in Node's
 * buffers for it; measured by `test/grpc/tls-cost.ts`.
 */
const tlsMemory = (budget: MemoryBudget): ConnectionMemory => ({
  take: () => budget.reserve(tlsConnectionBytes),
  giveBack: () => budget.release(tlsConnectionBytes),
});

const limitWarnings = {
  evicted: 'too many connections: closing the one that has been idle for the longest',
  full: 'connection refused: too many are open, and none is idle',
} as const;
const limitWarningEveryMs = 1000;

/** Warns at most once a second, so that a flood of connections does not flood the log. */
function createLimitWarning({
  bounds,
  clock,
  log,
}: EngineOptions): (what: keyof typeof limitWarnings) => void {
  let lastMs = -Infinity;
  return (what) => {
    const nowMs = clock.monotonicMs();
    if (nowMs - lastMs < limitWarningEveryMs) return;
    lastMs = nowMs;
    log.warn(limitWarnings[what], { count: bounds.maxConnections });
  };
}

/** Creates the stream of a call, by its method. */
function createCalls(
  { methods, bounds, log }: EngineOptions,
  openCalls: OpenCalls,
): ConnectionOptions['createStream'] {
  const { maxMessageBytes } = bounds;
  const heads = new WeakMap<RequestHead, GrpcRequestHead>();
  const keepToDeadline = createDeadlines();
  const bidirectionalOptions = {
    maxMessageBytes,
    openCalls,
    onFault: (thrown: unknown) => log.error('call failed for a defect', { err: thrown }),
  };

  function headOf(http: RequestHead): GrpcRequestHead {
    const cached = heads.get(http);
    if (cached !== undefined) return cached;
    const head = readGrpcRequestHead(http, methods);
    heads.set(http, head);
    return head;
  }

  function create(connection: ServerConnection, id: number, head: GrpcRequestHead): ServerStream & TimedCall {
    const { method } = head;
    switch (method?.kind) {
      case 'unary':
        return new UnaryStream(connection, id, head, maxMessageBytes, method);
      case 'server-streaming':
        return new ServerStreamingStream(connection, id, head, maxMessageBytes, method);
      case 'bidirectional':
        return head.failure === undefined && head.httpStatus === undefined
          ? new BidirectionalStream(connection, id, head, method, bidirectionalOptions)
          : new FailedStream(connection, id, head, maxMessageBytes);
      case undefined:
        return new FailedStream(connection, id, head, maxMessageBytes);
    }
  }

  return (connection, id, http) => {
    const head = headOf(http);
    const stream = create(connection, id, head);
    if (head.timeoutMs !== undefined) keepToDeadline(stream);
    return stream;
  };
}

/** Pings a connection at intervals, and closes it when it is old or idle. @returns what stops that */
function keepUp(
  connection: ServerConnection,
  { bounds, isTcp }: EngineOptions,
  openCalls: OpenCalls,
): () => void {
  const timers: NodeJS.Timeout[] = [];
  const probe = setInterval(() => {
    connection.sweep();
    if (!connection.ping()) return;
    const timer = setTimeout(() => {
      if (connection.isPingPending) connection.destroy();
    }, probeTimeoutMs);
    timers[1] = timer.unref();
  }, bounds.keepaliveMs);
  timers.push(probe.unref());
  const bound = isTcp ? [limitAge(connection, bounds, openCalls), limitIdleness(connection, bounds)] : [];
  return () => {
    for (const timer of [...timers, ...bound]) clearTimeout(timer);
  };
}

/**
 * A connection with open bidirectional calls outlives its age, without new calls, until the last of them is
 * over.
 */
function limitAge(
  connection: ServerConnection,
  { maxConnectionAgeMs }: ServerBounds,
  openCalls: OpenCalls,
): NodeJS.Timeout {
  const ageMs = maxConnectionAgeMs * (0.9 + Math.random() * 0.2);
  return setTimeout(() => {
    connection.drain();
    const grace = setInterval(() => {
      if (openCalls.areOn(connection)) return;
      clearInterval(grace);
      connection.destroy();
    }, ageGraceMs).unref();
  }, ageMs).unref();
}

/** Compares the number of requests twice in the idle time. */
function limitIdleness(connection: ServerConnection, { maxConnectionIdleMs }: ServerBounds): NodeJS.Timeout {
  let requestsBefore = -1;
  let quietIntervals = 0;
  return setInterval(() => {
    const isQuiet = connection.openStreams === 0 && connection.requests === requestsBefore;
    quietIntervals = isQuiet ? quietIntervals + 1 : 0;
    requestsBefore = connection.requests;
    if (quietIntervals >= 2) connection.drain();
  }, maxConnectionIdleMs / 2).unref();
}
