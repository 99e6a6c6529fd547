import type { ClientMetadata } from 'oidc-provider';
import {
  announceLogOwner,
  createDatabasePart,
  createLogOwnerAdmin,
  createLogOwnerParts,
  databaseKind,
  type LogOwnerDependencies,
} from '../assembly/log-owner-parts.ts';
import { createReadinessPart } from '../assembly/readiness-part.ts';
import { minClientSecretLength, shortClientSecret } from '../config/identity-client.ts';
import { identitySchema, type ClientConfig, type IdentityConfig } from '../config/identity.ts';
import { createOpenIdService } from '../identity/endpoint/openid-service.ts';
import { keyAlgorithm, openKeyRing } from '../identity/key/open-key-ring.ts';
import { openSharedSecret, type SharedSigningSecret } from '../identity/key/shared-secret.ts';
import { createIssuingClock } from '../identity/session/issuing-clock.ts';
import { readDatabaseTime } from '../identity/store/database-time.ts';
import { identityMigrations } from '../identity/store/migrations.ts';
import { createPurge } from '../identity/store/purge.ts';
import type { Receivers } from '../receivers/receivers.ts';
import { formatAddress } from '../runtime/address.ts';
import { systemClock } from '../runtime/clock.ts';
import { loadConfig } from '../runtime/config.ts';
import { Fault } from '../runtime/fault.ts';
import { createLifecycle, runUntilSignal, type Lifecycle, type Part } from '../runtime/lifecycle.ts';
import { createProgramLog, type Log } from '../runtime/log.ts';
import { createRegistry } from '../runtime/metrics.ts';
import type { Secret } from '../runtime/secret.ts';

/**
 * Runs identity until SIGTERM or SIGINT.
 * @param configFile path of its YAML configuration
 * @returns the exit code
 * @throws ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID, ERR_SECRET_UNREADABLE, ERR_JWKS_UNAVAILABLE,
 * ERR_JWKS_INVALID, ERR_DATABASE, ERR_ADDRESS_IN_USE, ERR_LISTEN_FAILED
 */
export async function runIdentity(configFile: string): Promise<number> {
  const config = loadConfig({ schema: identitySchema, file: configFile });
  const log = createProgramLog('identity', config.log.level);
  const lifecycle = await createIdentity(config, { log, registry: createRegistry(), clock: systemClock });
  return await runUntilSignal(lifecycle, log);
}

export type IdentityDependencies = LogOwnerDependencies & {
  /** Reads the database's clock; ms since 1970. Default: queries the database. */
  readDatabaseMs?: () => Promise<number>;
};

/** Constructs the program. Before the start it opens nothing but files of secrets. */
export async function createIdentity(
  config: IdentityConfig,
  dependencies: IdentityDependencies,
): Promise<Lifecycle> {
  const { log, clock } = dependencies;
  const { issuer, tokens } = config;
  const ownIssuer = { issuer, clock: 'own', maxTokenLifetimeMs: tokens.lifetime } as const;
  const owner = createLogOwnerParts(ownerConfig(config), dependencies, [ownIssuer]);
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
  const readiness = createReadinessPart(() => announce(config, log));
  const admin = createLogOwnerAdmin(config, owner, {
    ...dependencies,
    isReady: readiness.isReady,
    states: () => ({ ...receiverStates(receivers), clock: issuingClock.state() }),
    status: { issuer },
  });
  const purge = createPurge({ database, clock, log });
  // Parts stop in reverse order. The receivers start before the publisher, so that its first log already
  // holds the revocations for deliveries that were missed while the program was down.
  const first = [
    admin,
    createDatabasePart(database, [identityMigrations]),
    issuingClock,
    secretPart(sharedSecret),
    receivers,
    publisher,
    purge,
  ];
  return createLifecycle([...first, ...service, receivers.listening, readiness], {
    drainMs: config.drain,
    log,
  });
}

/** Receivers serve other issuers only. Identity ends its own sessions together with their refresh tokens. */
const ownerConfig = (config: IdentityConfig) => ({ ...config, issuers: config.foreignIssuers });

function receiverStates(receivers: Receivers) {
  const states = receivers.states();
  return states.length === 0 ? {} : { receivers: states };
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

const secretPart = (secret: SharedSigningSecret | undefined): Part => ({
  name: 'secret',
  start: () => undefined,
  stop: () => secret?.close(),
});

function announce(config: IdentityConfig, log: Log): void {
  const { issuer, listen } = config;
  if (issuer.startsWith('http:'))
    log.warn('the issuer is a plain HTTP URL: tokens and passwords travel unencrypted', { issuer });
  announceLogOwner(ownerConfig(config), log);
  log.info('identity listening', { issuer, address: formatAddress(listen), kind: databaseKind(config) });
}
