import type { RelayConfig } from '../config/relay.ts';
import { createDatabaseReport } from '../database/database-report.ts';
import { migrate, openDatabase, type Database, type Migrations } from '../database/database.ts';
import { outboxMigrations } from '../publisher/outbox.ts';
import type { PublisherIssuer } from '../publisher/publisher-options.ts';
import { readinessOf } from '../publisher/publisher-readiness.ts';
import { createPublisher, type Publisher } from '../publisher/publisher.ts';
import { receiverMigrations, type Receivers } from '../receivers/receivers.ts';
import { formatAddress } from '../runtime/address.ts';
import { createAdminServer } from '../runtime/admin-server.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import { createOwnerMetrics, type OwnerMetrics, type Registry } from '../runtime/metrics.ts';
import { announceReceivers, createConfiguredReceivers } from './event-receivers.ts';

/** The configuration that identity and relay have in common. `issuers` are other identity providers. */
export type LogOwnerConfig = Pick<
  RelayConfig,
  'admin' | 'database' | 'redis' | 'revocation' | 'trustedProxyHops' | 'issuers' | 'receivers'
>;

export type LogOwnerDependencies = { log: Log; registry: Registry; clock: Clock };

/** What owns a revocation log: the database, the publisher of the log, and the receivers of events. */
export type LogOwnerParts = {
  readonly metrics: OwnerMetrics;
  readonly database: Database;
  readonly publisher: Publisher;
  readonly receivers: Receivers;
};

/**
 * Constructs the owner of a revocation log. Nothing is opened before its parts are started.
 * @param ownIssuers issuers that the program itself issues tokens for
 * @throws ERR_CONFIG_INVALID when a JWKS address may not be used
 */
export function createLogOwnerParts(
  config: LogOwnerConfig,
  { log, registry, clock }: LogOwnerDependencies,
  ownIssuers: readonly PublisherIssuer[] = [],
): LogOwnerParts {
  const { revocation, redis, issuers, trustedProxyHops } = config;
  const metrics = createOwnerMetrics(registry);
  const database = openConfiguredDatabase(config, log);
  const common = { database, clockToleranceMs: revocation.clockTolerance, clock, log, metrics };
  const publisher = createPublisher({
    ...common,
    redis,
    logName: revocation.log,
    issuers: [...ownIssuers, ...issuers.map(foreignIssuer)],
  });
  const receivers = createConfiguredReceivers(config, {
    ...common,
    outbox: publisher,
    trustedProxyHops,
    registry,
  });
  return { metrics, database, publisher, receivers };
}

function openConfiguredDatabase({ database }: LogOwnerConfig, log: Log): Database {
  if ('sqlite' in database) return openDatabase(database);
  return openDatabase({ postgres: { ...database.postgres, report: createDatabaseReport(log) } });
}

const foreignIssuer = ({ issuer, maxTokenLifetime }: LogOwnerConfig['issuers'][number]): PublisherIssuer => ({
  issuer,
  clock: 'foreign',
  maxTokenLifetimeMs: maxTokenLifetime,
});

/** Migrates the database when it starts. @param migrations the program's own, run before those of the log */
export const createDatabasePart = (database: Database, migrations: readonly Migrations[] = []): Part => ({
  name: 'database',
  start: () => migrate(database, [...migrations, outboxMigrations, receiverMigrations]),
  stop: () => database.close(),
});

export type LogOwnerAdminOptions = LogOwnerDependencies & {
  isReady(): boolean;
  /** Shown in `/readyz` and `/status` after the state of the publisher. */
  states(): Readonly<Record<string, unknown>>;
  /** Shown first in `/status`. */
  status?: Readonly<Record<string, unknown>>;
};

export const createLogOwnerAdmin = (
  { admin }: Pick<LogOwnerConfig, 'admin'>,
  { database, publisher }: LogOwnerParts,
  { registry, log, isReady, states, status = {} }: LogOwnerAdminOptions,
): Part =>
  createAdminServer({
    address: admin,
    registry,
    log,
    readiness: () => ({
      ready: isReady(),
      parts: { revocation: readinessOf(publisher.status()), ...states() },
    }),
    status: () => ({
      ...status,
      database: database.description,
      revocation: publisher.status(),
      ...states(),
    }),
  });

/** Logs whose tokens can be revoked by which receiver, and where the admin server listens. */
export function announceLogOwner(config: LogOwnerConfig, log: Log): void {
  announceReceivers(config, log);
  log.info('admin listening', { address: formatAddress(config.admin) });
}

/** The kind of a configured database, for logs. */
export const databaseKind = ({ database }: Pick<LogOwnerConfig, 'database'>): 'sqlite' | 'postgres' =>
  'sqlite' in database ? 'sqlite' : 'postgres';
