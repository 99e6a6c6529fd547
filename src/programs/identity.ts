import type { ClientMetadata } from 'oidc-provider';
import { minClientSecretLength, shortClientSecret } from '../config/identity-client.ts';
import { identitySchema, type ClientConfig, type IdentityConfig } from '../config/identity.ts';
import { createOpenIdService } from '../identity/endpoint/openid-service.ts';
import { keyAlgorithm, openKeyRing } from '../identity/key/open-key-ring.ts';
import { openSharedSecret, type SharedSigningSecret } from '../identity/key/shared-secret.ts';
import { createIssuingClock, type ClockState } from '../identity/session/issuing-clock.ts';
import { readDatabaseTime } from '../identity/store/database-time.ts';
import { identityMigrations } from '../identity/store/migrations.ts';
import { createPurge } from '../identity/store/purge.ts';
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
import { Fault } from '../runtime/fault.ts';
import { createLifecycle, runUntilSignal, type Lifecycle, type Part } from '../runtime/lifecycle.ts';
import { createProgramLog, type Log } from '../runtime/log.ts';
import { createOwnerMetrics, createRegistry, type Registry } from '../runtime/metrics.ts';
import type { Secret } from '../runtime/secret.ts';

/**
 * Runs the identity deployment in the foreground until SIGTERM or SIGINT.
 * @param configFile path of its YAML configuration
 * @returns the exit code
 * @throws ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID, ERR_SECRET_UNREADABLE, ERR_JWKS_UNAVAILABLE, ERR_JWKS_INVALID, ERR_DATABASE, ERR_ADDRESS_IN_USE, ERR_LISTEN_FAILED
 */
export async function runIdentity(configFile: string): Promise<number> {
  const config = loadConfig({ schema: identitySchema, file: configFile });
  const log = createProgramLog('identity', config.log.level);
  const lifecycle = await createIdentity(config, { log, registry: createRegistry(), clock: systemClock });
  return await runUntilSignal(lifecycle, log);
}

export type IdentityDependencies = {
  log: Log;
  registry: Registry;
  clock: Clock;
  /** The database's clock; ms. Default: asked of the database. */
  readDatabaseMs?: () => Promise<number>;
};

/** Constructs the program. Nothing is opened before its start but files of secrets. */
export async function createIdentity(
  config: IdentityConfig,
  dependencies: IdentityDependencies,
): Promise<Lifecycle> {
  const { log, clock } = dependencies;
  const { tokens } = config;
  const owner = createOwner(config, dependencies);
  const { database, publisher, receivers } = owner;
  const issuingClock = createIssuingClock({
    readDatabaseMs: dependencies.readDatabaseMs ?? (() => readDatabaseTime(database)),
    clock,
    clockToleranceMs: config.revocation.clockTolerance,
    log,
  });
  const sharedSecret = tokens.secret === undefined ? undefined : openSharedSecret({ ...tokens.secret, log });
  const service = await createOpenIdService({
    ...settings(config),
    ...sharedKey(config, sharedSecret),
    ...owner,
    keyRing: openKeyRing(config, { database, clock, log }),
    outbox: publisher,
    clock,
    issuingClock,
    log,
  });
  const ready = readinessPart(config, log);
  const admin = adminPart(config, dependencies, {
    ...owner,
    isReady: ready.isReady,
    clock: issuingClock.state,
  });
  const purge = createPurge({ database, clock, log });
  // Stopped in reverse. The receivers come before the publisher: what an absence calls for is in its first log.
  const opened = [admin, databasePart(database), issuingClock, secretPart(sharedSecret)];
  const first = [...opened, receivers, publisher, purge];
  return createLifecycle([...first, ...service, receivers.listening, ready], { drainMs: config.drain, log });
}

/** What owns the revocation log: of identity's own issuer, and of others it takes notices about. */
function createOwner(config: IdentityConfig, { log, registry, clock }: IdentityDependencies) {
  const { issuer, tokens, trustedProxyHops, revocation } = config;
  const metrics = createOwnerMetrics(registry);
  const database = openIdentityDatabase(config, log);
  const common = { database, clockToleranceMs: revocation.clockTolerance, clock, log, metrics };
  const publisher = createPublisher({
    ...common,
    redis: config.redis,
    logName: revocation.log,
    issuers: [
      { issuer, clock: 'own', maxTokenLifetimeMs: tokens.lifetime },
      ...foreignIssuers(receiving(config)),
    ],
  });
  const receivers = createConfiguredReceivers(receiving(config), {
    ...common,
    outbox: publisher,
    trustedProxyHops,
    registry,
  });
  return { metrics, database, publisher, receivers };
}

type Observed = Pick<ReturnType<typeof createOwner>, 'database' | 'publisher' | 'receivers'> & {
  isReady(): boolean;
  clock(): ClockState;
};

function adminPart(
  config: IdentityConfig,
  { log, registry }: IdentityDependencies,
  { database, publisher, receivers, isReady, clock }: Observed,
): Part {
  return createAdminServer({
    address: config.admin,
    registry,
    log,
    readiness: () => ({
      ready: isReady(),
      parts: { ...partsOf(readinessOf(publisher.status()), receivers), clock: clock() },
    }),
    status: () => ({
      issuer: config.issuer,
      database: database.description,
      ...partsOf(publisher.status(), receivers),
      clock: clock(),
    }),
  });
}

/** Receivers are for issuers of others alone: identity's own sessions end with their refresh tokens. */
const receiving = (config: IdentityConfig) => ({
  issuers: config.foreignIssuers,
  receivers: config.receivers,
});

function partsOf(revocation: unknown, receivers: Receivers) {
  const states = receivers.states();
  return states.length === 0 ? { revocation } : { revocation, receivers: states };
}

const settings = (config: IdentityConfig) => ({
  issuer: config.issuer,
  address: config.listen,
  trustedProxyHops: config.trustedProxyHops,
  logName: config.revocation.log,
  clients: config.clients.map((client, index) => clientMetadata(client, `clients[${index}]`)),
  resources: config.resources,
  idTokenAlgorithm: keyAlgorithm(config),
  accessTokenLifetimeSeconds: config.tokens.lifetime / 1000,
  refreshTokenLifetimeSeconds: Math.floor(config.tokens.refreshLifetime / 1000),
  refreshGraceMs: config.tokens.refreshGrace,
  maxSessionsPerAccount: config.limits.sessionsPerAccount,
  passkeys: { ...config.accounts.passkeys, maxPerAccount: config.limits.passkeysPerAccount },
});

function openIdentityDatabase({ database }: IdentityConfig, log: Log): Database {
  if ('sqlite' in database) return openDatabase(database);
  return openDatabase({ postgres: { ...database.postgres, report: createDatabaseReport(log) } });
}

function sharedKey({ tokens }: IdentityConfig, secret: SharedSigningSecret | undefined) {
  if (tokens.secret === undefined || secret === undefined) return {};
  return { sharedKey: { kid: tokens.secret.kid, current: secret.current } };
}

/** @param path of the client in the configuration */
function clientMetadata(client: ClientConfig, path: string): ClientMetadata {
  const { client_secret: secret, grant_types: grants, ...metadata } = client;
  const defined = Object.entries(metadata).filter(([, value]) => value !== undefined);
  return {
    client_id: client.client_id,
    ...Object.fromEntries(structuredClone(defined)),
    grant_types: [...grants],
    response_types: grants.includes('authorization_code') ? ['code'] : [],
    ...(secret === undefined ? {} : { client_secret: readClientSecret(secret, `${path}.client_secret`) }),
  };
}

function readClientSecret(secret: Secret, path: string): string {
  const text = secret.text();
  if (text.length >= minClientSecretLength) return text;
  throw new Fault('ERR_CONFIG_INVALID', `${path}: ${secret.source} ${shortClientSecret}`);
}

const databasePart = (database: Database): Part => ({
  name: 'database',
  start: () => migrate(database, [identityMigrations, outboxMigrations, receiverMigrations]),
  stop: () => database.close(),
});

const secretPart = (secret: SharedSigningSecret | undefined): Part => ({
  name: 'secret',
  start: () => undefined,
  stop: () => secret?.close(),
});

/** The last part: ready when everything before it has started, and not any more from the first moment of the stop. */
function readinessPart(config: IdentityConfig, log: Log): Part & { isReady(): boolean } {
  let isReady = false;
  return {
    name: 'readiness',
    isReady: () => isReady,
    start: () => {
      isReady = true;
      const { issuer, listen, admin, database } = config;
      if (issuer.startsWith('http:'))
        log.warn('the issuer is plain HTTP: tokens and passwords travel in the clear', { issuer });
      announceReceivers(receiving(config), log);
      log.info('admin is listening', { address: formatAddress(admin) });
      log.info('identity is ready', {
        issuer,
        address: formatAddress(listen),
        kind: 'sqlite' in database ? 'sqlite' : 'postgres',
      });
    },
    stop: () => {
      isReady = false;
    },
  };
}
