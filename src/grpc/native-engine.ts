import type { Socket } from 'node:net';
import type { ConnectionOptions } from '../http2/connection-options.ts';
import { Connection } from '../http2/connection.ts';
import { MemoryBudget } from '../http2/memory-budget.ts';
import type { RequestHead } from '../http2/request-head.ts';
import { planCall, type CallPlan } from './request-head.ts';
import { ConnectionPlaces } from './connection-limit.ts';
import { createDeadlines } from './deadlines.ts';
import { grpcPrefixBytes } from '../envoy/encoded-response.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { CheckStream, HealthStream, RefusedStream, WatchStream } from './native-streams.ts';
import { repeatedLists, type MessageStream } from './message-stream.ts';
import { checkPath, healthServiceName } from '../envoy/method-names.ts';
import { ageGraceMs, probeTimeoutMs, type ServerBounds } from './server-bounds.ts';

const healthPaths = {
  check: `/${healthServiceName}/Check`,
  list: `/${healthServiceName}/List`,
  watch: `/${healthServiceName}/Watch`,
} as const;
const paths: ReadonlySet<string> = new Set([checkPath, ...Object.values(healthPaths)]);

const mebibyte = 1024 * 1024;
// Less than the heap that a sidecar is given.
const budgetBounds = { mostBytes: 24 * mebibyte, mostBytesOfOne: 8 * mebibyte, ownBytes: 32 * 1024 };

/**
 * gRPC on an HTTP/2 of our own, which knows what a sidecar needs and no more. Cost: a fifth of what it takes on
 * `node:http2`, because nothing is made for a call but the call.
 */
export function createLeanEngine(options: EngineOptions): Engine {
  const { bounds, log } = options;
  const open = new Map<Connection, { readonly socket: Socket; readonly stopUpkeep: () => void }>();
  const places = new ConnectionPlaces<Connection>(bounds);
  const warnOfLimit = createLimitWarning(options);
  const connectionOptions: ConnectionOptions = {
    open: createCalls(options),
    onOver: (connection) => {
      const { socket, stopUpkeep } = open.get(connection) ?? {};
      stopUpkeep?.();
      open.delete(connection);
      places.ended(connection, socket?.destroyed === false);
    },
    onFree: (connection) => places.freed(connection),
    idleOrder: { count: 0 },
    onPeerError: (message) => log.debug('connection ended for an error of its client', { cause: message }),
    onFault: (thrown) => log.error('connection ended for a defect', { err: thrown }),
    // One for all: what is read is done with before the next read.
    readBuffer: Buffer.allocUnsafeSlow(64 * 1024),
    budget: new MemoryBudget(budgetBounds),
    repeatedLists,
    maxConcurrentStreams: bounds.maxConcurrentStreams,
    // What a message may take, some padding included: a call's window is never opened again.
    streamWindow: 2 * (bounds.maxMessageBytes + grpcPrefixBytes),
    // Of Envoy with tracing: far less.
    headerBounds: { maxListBytes: 16 * 1024, maxFields: 128 },
    // Envoy gives up calls by the thousand when it is overloaded; a reset costs less than an answer.
    strikes: { most: 10_000, perSecond: 1000 },
    // Envoy makes none.
    mistakes: { most: 1000, perSecond: 100 },
  };

  return {
    accept: (socket) => {
      const place = places.admit();
      if (place !== 'free') warnOfLimit(place);
      if (place === 'full') return void socket.destroy();
      const connection = new Connection(socket, connectionOptions);
      places.add(connection);
      open.set(connection, { socket, stopUpkeep: keepUp(connection, bounds, options.isTcp) });
      socket.once('close', () => places.socketClosed(connection));
    },
    drain: () => {
      for (const connection of open.keys()) connection.drain();
    },
  };
}

const limitWarnings = {
  evicted: 'too many connections: the one that has been idle for the longest is closed',
  full: 'connection refused: too many are open, and none is idle',
} as const;
const limitWarningEveryMs = 1000;

/** Warns at most once a second, so that a flood of connections does not flood the log. */
function createLimitWarning({ bounds, log }: EngineOptions): (what: keyof typeof limitWarnings) => void {
  let lastMs = -Infinity;
  return (what) => {
    const nowMs = performance.now();
    if (nowMs - lastMs < limitWarningEveryMs) return;
    lastMs = nowMs;
    log.warn(limitWarnings[what], { count: bounds.maxConnections });
  };
}

/** Makes the stream of a call, by its method. */
function createCalls({ authorization, health, bounds }: EngineOptions): ConnectionOptions['open'] {
  const { maxMessageBytes } = bounds;
  const plans = new WeakMap<RequestHead, CallPlan>();
  const keepToDeadline = createDeadlines();

  function planFor(head: RequestHead): CallPlan {
    const known = plans.get(head);
    if (known !== undefined) return known;
    const plan = planCall(head, paths);
    plans.set(head, plan);
    return plan;
  }

  function make(connection: Connection, id: number, plan: CallPlan): MessageStream {
    if (plan.path === checkPath) return new CheckStream(connection, id, plan, maxMessageBytes, authorization);
    if (plan.path === healthPaths.watch)
      return new WatchStream(connection, id, plan, maxMessageBytes, health);
    const isList = plan.path === healthPaths.list;
    return isList || plan.path === healthPaths.check
      ? new HealthStream(connection, id, plan, maxMessageBytes, { health, isList })
      : new RefusedStream(connection, id, plan, maxMessageBytes);
  }

  return (connection, id, head) => {
    const plan = planFor(head);
    const stream = make(connection, id, plan);
    if (plan.timeoutMs !== undefined) keepToDeadline(stream);
    return stream;
  };
}

/** Probes a connection, and ends it when it is old or idle. @returns what stops that */
function keepUp(connection: Connection, bounds: ServerBounds, isTcp: boolean): () => void {
  const timers: NodeJS.Timeout[] = [];
  const probe = setInterval(() => {
    connection.nextRound();
    if (!connection.ping()) return;
    const timer = setTimeout(() => {
      if (connection.isPinged) connection.destroy();
    }, probeTimeoutMs);
    timers[1] = timer.unref();
  }, bounds.keepaliveMs);
  timers.push(probe.unref());
  const bound = isTcp ? [limitAge(connection, bounds), limitIdleness(connection, bounds)] : [];
  return () => {
    for (const timer of [...timers, ...bound]) clearTimeout(timer);
  };
}

function limitAge(connection: Connection, { maxConnectionAgeMs }: ServerBounds): NodeJS.Timeout {
  const ageMs = maxConnectionAgeMs * (0.9 + Math.random() * 0.2);
  return setTimeout(() => {
    connection.drain();
    setTimeout(() => connection.destroy(), ageGraceMs).unref();
  }, ageMs).unref();
}

/** Idle since the last look at least; looks twice in the time. */
function limitIdleness(connection: Connection, { maxConnectionIdleMs }: ServerBounds): NodeJS.Timeout {
  let seen = -1;
  let quietLooks = 0;
  return setInterval(() => {
    const isQuiet = connection.openStreams === 0 && connection.requests === seen;
    quietLooks = isQuiet ? quietLooks + 1 : 0;
    seen = connection.requests;
    if (quietLooks >= 2) connection.drain();
  }, maxConnectionIdleMs / 2).unref();
}
