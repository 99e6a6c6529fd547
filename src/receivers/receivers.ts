import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../runtime/clock.ts';
import type { CrowdedOut } from '../runtime/connections.ts';
import { isDatabaseUnavailable } from '../runtime/fault.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { OwnerMetrics } from '../runtime/metrics.ts';
import { networkOf } from '../runtime/network.ts';
import type { Secret } from '../runtime/secret.ts';
import type { Outbox } from '../publisher/outbox.ts';
import type { Database } from '../database/database.ts';
import { createAcceptedHandler } from './accepted-delivery.ts';
import {
  authorizationDigest,
  createDeliveryHandler,
  type GuardedReceiver,
  type HandleDelivery,
} from './delivery-handler.ts';
import { createDeliveryLimits } from './delivery-limits.ts';
import { createKnownSources, type KnownSources } from './known-sources.ts';
import { createMissedNotices, type MissedNotices } from './missed-notices.ts';
import { createHeartbeat, startHeartbeat, type HeartbeatIssuer, type Heartbeat } from './heartbeat.ts';
import type { Receiver, ReceiverKind } from './receiver.ts';
import { createRecorder } from './recorder.ts';
import { createRefusalThrottle } from './refusal-throttle.ts';
import { createDeliveryStore, type DeliveryStore } from './store/delivery-store.ts';
import { createHeartbeatStore } from './store/heartbeat-store.ts';
import { watchSecrets } from './watched-secrets.ts';

export { receiverMigrations } from './store/receiver-tables.ts';

export type MountedReceiver = {
  readonly receiver: Receiver;
  /** The required value of the `Authorization` header. The signature is required as well. */
  readonly authorization: Secret | undefined;
  /** How long the sender retries a delivery; ms. 0: it doesn't retry. */
  readonly redeliveryMs: number;
};

export type ReceiversOptions = {
  /** With distinct paths. */
  readonly receivers: readonly MountedReceiver[];
  /** Migrated with `receiverMigrations` and the outbox's. */
  readonly database: Database;
  readonly outbox: Outbox;
  clientAddress(request: IncomingMessage): string;
  /** Connections come from proxies, so the address of a connection doesn't identify the sender. */
  readonly isBehindProxies: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<OwnerMetrics, 'receivedEvents' | 'noticesMissed'>;
};

export type ReceiverState = {
  readonly kind: ReceiverKind;
  readonly path: string;
  readonly issuers: readonly string[];
  /** False while it can't verify anything. */
  readonly usable: boolean;
  readonly keys: unknown;
};

/**
 * The receivers of a program that owns a revocation log. Start them before the publisher: their first
 * heartbeat records cut-offs for missed notices, which must happen before readers see the log as current
 * again.
 */
export type Receivers = Part & {
  /** The heartbeat, once a second. Start it after the HTTP listener, so that it stops first. */
  readonly listening: Part;
  /**
   * Answers a request to one of the receivers.
   * @returns false for any other request, which it leaves unanswered
   */
  handle(request: IncomingMessage, response: ServerResponse): Promise<boolean>;
  /** The listener closed a connection to make room. A notice may have been about to arrive on it. */
  crowdedOut(connection: CrowdedOut): void;
  states(): ReceiverState[];
};

const purgeEveryMs = 60_000;
/** A connection that was silent for longer than this would have brought no notice; ms. */
const noticeTimeoutMs = 2000;

/**
 * @throws from `start`: ERR_CONFIG_INVALID, ERR_SECRET_UNREADABLE, ERR_JWKS_UNAVAILABLE, ERR_JWKS_INVALID for
 * a local file
 */
export function createReceivers(options: ReceiversOptions): Receivers {
  const { receivers, database, outbox, clock, log } = options;
  const guarded = receivers.map((mounted) => withGuard(mounted, log));
  const byPath = new Map(guarded.map((one) => [one.receiver.path, one]));
  const deliveries = createDeliveryStore(database);
  const heartbeat = createHeartbeat({
    database,
    store: createHeartbeatStore(database),
    outbox,
    issuers: heartbeatIssuers(receivers),
    clock,
    log,
  });
  const sources = createKnownSources();
  const missed = createMissedNotices({ ...options, heartbeat });
  const handleDelivery = deliveryHandler(options, { store: deliveries, sources, missed });
  let stopPurge: (() => Promise<void>) | undefined;

  return {
    name: 'receivers',
    start: async () => {
      for (const { authorization } of guarded) authorization.start();
      await Promise.all(receivers.map(async ({ receiver }) => await receiver.start()));
      await heartbeat.beat();
      stopPurge = startPurging(deliveries, clock, log);
    },
    stop: async () => {
      for (const { receiver, authorization } of guarded) {
        receiver.stop();
        authorization.stop();
      }
      await stopPurge?.();
      await flush(heartbeat, log);
    },
    listening: listeningPart(heartbeat, receivers, log),
    handle: async (request, response) => {
      const addressed = byPath.get(request.url?.split('?', 1)[0] ?? '');
      if (addressed === undefined) return false;
      await handleDelivery(addressed, request, response);
      return true;
    },
    crowdedOut: (connection) => {
      for (const one of guarded)
        if (mayHaveLostNotice(one, connection, { sources, ...options })) missed.possible(one, 'connection');
    },
    states: () => receivers.map(({ receiver }) => stateOf(receiver)),
  };
}

function deliveryHandler(
  { database, outbox, ...options }: ReceiversOptions,
  { store, sources, missed }: { store: DeliveryStore; sources: KnownSources; missed: MissedNotices },
): HandleDelivery {
  const recorder = createRecorder({ database, outbox, store });
  return createDeliveryHandler({
    ...options,
    handleAccepted: createAcceptedHandler({ ...options, recorder, missed }),
    limits: createDeliveryLimits(),
    sources,
    missed,
    throttle: createRefusalThrottle(options.clock),
  });
}

function mayHaveLostNotice(
  { receiver }: GuardedReceiver,
  { address, silentMs, share }: CrowdedOut,
  { sources, isBehindProxies }: { sources: KnownSources; isBehindProxies: boolean },
): boolean {
  if (silentMs >= noticeTimeoutMs) return false;
  return isBehindProxies || sources.mayBeAuthentic(receiver.path, networkOf(address), share);
}

async function flush(heartbeat: Heartbeat, log: Log): Promise<void> {
  try {
    await heartbeat.flush();
  } catch (thrown) {
    log.error('cannot revoke tokens for missed notices', { err: thrown });
  }
}

function listeningPart(heartbeat: Heartbeat, receivers: readonly MountedReceiver[], log: Log): Part {
  let stop: (() => Promise<void>) | undefined;
  return {
    name: 'listening',
    start: () => {
      stop = startHeartbeat(heartbeat, log);
    },
    stop: async () => {
      // The listener waits for the deliveries in flight. Stopping the receivers ends their waits for keys.
      for (const { receiver } of receivers) receiver.stop();
      await stop?.();
    },
  };
}

const stateOf = (receiver: Receiver): ReceiverState => ({
  kind: receiver.kind,
  path: receiver.path,
  issuers: receiver.issuers,
  usable: receiver.isUsable(),
  keys: receiver.state(),
});

function withGuard({ receiver, authorization, redeliveryMs }: MountedReceiver, log: Log): GuardedReceiver {
  const secrets = authorization === undefined ? [] : [authorization];
  const read = (secret: Secret): Buffer => authorizationDigest(secret.text());
  return { receiver, redeliveryMs, authorization: watchSecrets({ secrets, read, path: receiver.path, log }) };
}

/** The issuers of the heartbeat: usable while all their receivers are, with the shortest time of retries. */
function heartbeatIssuers(receivers: readonly MountedReceiver[]): HeartbeatIssuer[] {
  const names = new Set(receivers.flatMap(({ receiver }) => receiver.issuers));
  return [...names].map((issuer) => {
    const its = receivers.filter(({ receiver }) => receiver.issuers.includes(issuer));
    return {
      issuer,
      redeliveryMs: Math.min(...its.map(({ redeliveryMs }) => redeliveryMs)),
      isUsable: () => its.every(({ receiver }) => receiver.isUsable()),
    };
  });
}

/** Purges the ids of old deliveries once a minute. */
function startPurging(deliveries: DeliveryStore, clock: Clock, log: Log): () => Promise<void> {
  let running: Promise<void> = Promise.resolve();
  const purge = async (): Promise<void> => {
    try {
      const count = await deliveries.purge(clock.nowMs());
      if (count > 0) log.debug('purged old deliveries', { count });
    } catch (thrown) {
      const level = isDatabaseUnavailable(thrown) ? 'debug' : 'warn';
      log[level]('cannot purge old deliveries', { err: thrown });
    }
  };
  const timer = setInterval(() => {
    running = purge();
  }, purgeEveryMs).unref();
  return async () => {
    clearInterval(timer);
    await running;
  };
}
