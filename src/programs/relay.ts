import type { IncomingMessage, ServerResponse } from 'node:http';
import { relaySchema, type RelayConfig } from '../config/relay.ts';
import { outboxMigrations } from '../publisher/outbox.ts';
import { readinessOf } from '../publisher/publisher-readiness.ts';
import { createPublisher } from '../publisher/publisher.ts';
import { receiverMigrations, type Receivers } from '../receivers/receivers.ts';
import { createDatabaseReport } from '../database/database-report.ts';
import { migrate, openDatabase, type Database } from '../database/database.ts';
import { announceReceivers, createConfiguredReceivers, foreignIssuers } from '../assembly/event-receivers.ts';
import { formatAddress } from '../runtime/address.ts';
import { createAdminServer } from '../runtime/admin-server.ts';
import { systemClock, type Clock } from '../runtime/clock.ts';
import { loadConfig } from '../runtime/config.ts';
import { createHttpServer } from '../runtime/http-server.ts';
import { createLifecycle, runUntilSignal, type Lifecycle, type Part } from '../runtime/lifecycle.ts';
import { createProgramLog, type Log } from '../runtime/log.ts';
import { createOwnerMetrics, createRegistry, type Registry } from '../runtime/metrics.ts';

/**
 * Runs the owner of a revocation log for foreign identity providers in the foreground until SIGTERM or SIGINT.
 * @param configFile path of its YAML configuration
 * @returns the exit code
 * @throws ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID, ERR_SECRET_UNREADABLE, ERR_JWKS_UNAVAILABLE, ERR_JWKS_INVALID, ERR_DATABASE, ERR_ADDRESS_IN_USE, ERR_LISTEN_FAILED
 */
export async function runRelay(configFile: string): Promise<number> {
  const config = loadConfig({ schema: relaySchema, file: configFile });
  const log = createProgramLog('relay', config.log.level);
  const lifecycle = createRelay(config, { log, registry: createRegistry(), clock: systemClock });
  return await runUntilSignal(lifecycle, log);
}

export type RelayDependencies = { log: Log; registry: Registry; clock: Clock };

/** Constructs the program. Nothing is opened before its start. */
export function createRelay(config: RelayConfig, dependencies: RelayDependencies): Lifecycle {
  const { log, registry, clock } = dependencies;
  const { revocation } = config;
  const metrics = createOwnerMetrics(registry);
  const database = openRelayDatabase(config, log);
  const publisher = createPublisher({
    database,
    redis: config.redis,
    logName: revocation.log,
    issuers: foreignIssuers(config),
    clockToleranceMs: revocation.clockTolerance,
    clock,
    log,
    metrics,
  });
  const receivers = createConfiguredReceivers(config, {
    database,
    outbox: publisher,
    trustedProxyHops: config.trustedProxyHops,
    clockToleranceMs: revocation.clockTolerance,
    clock,
    log,
    metrics,
    registry,
  });
  const http = createHttpServer({
    address: config.listen,
    handler: createHandler(receivers),
    crowdedOut: receivers.crowdedOut,
    log,
  });
  const ready = readinessPart(config, log);
  const admin = createAdminServer({
    address: config.admin,
    registry,
    log,
    readiness: () => ({
      ready: ready.isReady(),
      parts: partsOf(readinessOf(publisher.status()), receivers),
    }),
    status: () => ({ database: database.description, ...partsOf(publisher.status(), receivers) }),
  });
  // Stopped in reverse. The receivers come before the publisher: what an absence calls for is in its first log.
  const order = [admin, databasePart(database), receivers, publisher, http, receivers.listening, ready];
  return createLifecycle(order, { drainMs: config.drain, log });
}

const partsOf = (revocation: unknown, receivers: Receivers) => ({
  revocation,
  receivers: receivers.states(),
});

function createHandler(receivers: Receivers) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (await receivers.handle(request, response)) return;
    response.writeHead(404, { 'content-type': 'text/plain', 'cache-control': 'no-store' }).end('not found\n');
  };
}

function openRelayDatabase({ database }: RelayConfig, log: Log): Database {
  if ('sqlite' in database) return openDatabase(database);
  return openDatabase({ postgres: { ...database.postgres, report: createDatabaseReport(log) } });
}

const databasePart = (database: Database): Part => ({
  name: 'database',
  start: () => migrate(database, [outboxMigrations, receiverMigrations]),
  stop: () => database.close(),
});

/** The last part: ready when everything before it has started, and not any more from the first moment of the stop. */
function readinessPart(config: RelayConfig, log: Log): Part & { isReady(): boolean } {
  let isReady = false;
  return {
    name: 'readiness',
    isReady: () => isReady,
    start: () => {
      isReady = true;
      announce(config, log);
    },
    stop: () => {
      isReady = false;
    },
  };
}

function announce(config: RelayConfig, log: Log): void {
  const { listen, admin, database } = config;
  announceReceivers(config, log);
  log.info('admin is listening', { address: formatAddress(admin) });
  log.info('relay is ready', {
    address: formatAddress(listen),
    kind: 'sqlite' in database ? 'sqlite' : 'postgres',
  });
}
