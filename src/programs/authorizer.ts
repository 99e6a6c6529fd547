import { setTimeout as delay } from 'node:timers/promises';
import { authorizerSchema, deprecatedEngine, type AuthorizerConfig } from '../config/authorizer.ts';
import { createAuthorizationService } from '../envoy/authorization-service.ts';
import { createGrpcServer, type GrpcServer } from '../grpc/server.ts';
import { createResponder } from '../envoy/check-response.ts';
import { createDecisionRecord } from '../envoy/decision-record.ts';
import { createHealthService, type HealthService } from '../grpc/health-service.ts';
import { authorizationServiceName } from '../envoy/method-names.ts';
import { wantedHeaders } from '../envoy/wanted-headers.ts';
import {
  createConfiguredCheck,
  createAuthorizerParts,
  type AuthorizerDependencies,
  type AuthorizerParts,
} from '../assembly/authorizer-parts.ts';
import type { FeedStatus } from '../revocation/feed.ts';
import { formatAddress, isLoopback } from '../runtime/address.ts';
import { createAdminServer, type Readiness } from '../runtime/admin-server.ts';
import { systemClock } from '../runtime/clock.ts';
import { loadConfig } from '../runtime/config.ts';
import { createLifecycle, runUntilSignal, type Part } from '../runtime/lifecycle.ts';
import { createProgramLog } from '../runtime/log.ts';
import { createAuthorizerMetrics, createRegistry } from '../runtime/metrics.ts';
import { createV8Tuning, type V8Tuning } from '../runtime/v8-tuning.ts';
import type { ConfiguredIssuer } from '../assembly/trusted-issuers.ts';

/** Goes from starting to ready once, and from there only to draining. */
type Progress = {
  readiness(): Readiness;
  /** Not ready any more. Checks are answered all the same, until their connections close. */
  isDraining(): boolean;
  drain(): void;
  /** `waitForSync` has passed, or everything was proven that can be. */
  synced(): void;
};

/** How soon after readiness health watchers and the log are told of it. */
const readinessEveryMs = 100;
/** Default of `drainDelay` for an address beyond this machine; ms. */
const sharedDrainDelayMs = 5000;

/**
 * Runs the ext_authz server until SIGTERM or SIGINT.
 * @returns the exit code
 * @throws ERR_CONFIG_INVALID, ERR_CONFIG_UNREADABLE, ERR_SECRET_UNREADABLE, ERR_ADDRESS_IN_USE, ERR_LISTEN_FAILED
 */
export async function runAuthorizer(configFile: string): Promise<number> {
  const config = loadConfig({ schema: authorizerSchema, file: configFile });
  const log = createProgramLog('authorizer', config.log.level);
  const registry = createRegistry();
  const dependencies = { config, log, clock: systemClock, metrics: createAuthorizerMetrics(registry) };
  const authorizerParts = createAuthorizerParts(dependencies);
  const progress = createProgress(authorizerParts);
  const health = createHealthService({
    services: [authorizationServiceName],
    isReady: () => progress.readiness().ready,
  });
  const tuning = createV8Tuning({ isReady: () => progress.readiness().ready, clock: systemClock, log });
  const server = createServer(dependencies, authorizerParts, health, tuning);
  const admin = createAdminServer({
    address: config.admin,
    registry,
    log,
    readiness: progress.readiness,
    status: () => status(config, authorizerParts, progress, server),
  });
  // Stopped in reverse: what answers Envoy goes before what its answers rest on.
  const parts = [
    // First, because it only begins with its start: the rest starts while Redis answers.
    ...(authorizerParts.feed === undefined ? [] : [authorizerParts.feed]),
    admin,
    createKeysPart(authorizerParts.issuers),
    server,
    tuning,
    createProgressPart({ ...dependencies, ...authorizerParts, progress, health, server }),
  ];
  return runUntilSignal(createLifecycle(parts, { drainMs: drainDelayMs(config) + config.drain, log }), log);
}

/** A proxy beside a sidecar has no other authorizer to turn to, so the sidecar stops at once. */
function drainDelayMs({ drainDelay, listen }: AuthorizerConfig): number {
  if (drainDelay !== undefined) return drainDelay;
  return listen.kind === 'unix' || isLoopback(listen.host) ? 0 : sharedDrainDelayMs;
}

function createServer(
  dependencies: AuthorizerDependencies,
  authorizerParts: AuthorizerParts,
  health: HealthService,
  tuning: V8Tuning,
): GrpcServer {
  const { config, clock, log, metrics } = dependencies;
  const { mode, denied } = config;
  const check = createConfiguredCheck(dependencies, authorizerParts);
  const record = createDecisionRecord({ metrics, log, clock, decisions: config.log.decisions, mode });
  const authorization = createAuthorizationService({
    check,
    respond: createResponder({ denied, mode, metadata: config.upstream.metadata }),
    respondToFault: createResponder({ denied, mode: 'enforce' }),
    record: (...decided) => {
      tuning.onCheck();
      record(...decided);
    },
    headers: wantedHeaders(config.token.sources, config.upstream.prefix, denied),
    findToken: judges.verifier.find,
    clock,
    log,
  });
  return createGrpcServer({
    address: config.listen,
    tls: config.tls,
    engine: config.engine === deprecatedEngine ? 'native' : config.engine,
    methods: [authorization],
    health,
    // The rest of the time is for the other parts.
    drainMs: config.drain * 0.9,
    clock,
    log,
  });
}

function createProgress({ issuers, verifier, feed }: AuthorizerParts): Progress {
  let isSynced = feed === undefined;
  let wasReady = false;
  let isDraining = false;

  function readiness(): Readiness {
    // Later staleness is a metric: an authorizer taken out of service helps nobody.
    wasReady ||= verifier.isUsable() && (isSynced || feed?.wasSynced() === true);
    const keys = issuers.map(({ rules, keySet }) => [rules.issuer, keySet.state()]);
    const status = feed?.status();
    return {
      ready: wasReady && !isDraining,
      parts: {
        keys: Object.fromEntries(keys),
        revocation: status?.state ?? 'off',
        ...(status === undefined ? {} : { unproven: unprovenOf(status) }),
        draining: isDraining,
      },
    };
  }

  return {
    readiness,
    isDraining: () => isDraining,
    drain: () => {
      isDraining = true;
    },
    synced: () => {
      isSynced = true;
    },
  };
}

/** The issuers about whom the log proves nothing, with the cause. */
const unprovenOf = ({ unproven }: FeedStatus): Record<string, string> =>
  Object.fromEntries(unproven.map(({ issuer, cause }) => [issuer, cause]));

/** Loads every issuer's keys. A local file must be right at start; a server may still be away. */
function createKeysPart(issuers: readonly ConfiguredIssuer[]): Part {
  return {
    name: 'keys',
    start: async () => {
      const starts = issuers.map(({ keySet, remote }) => ({ remote, started: keySet.start() }));
      await Promise.all(starts.filter(({ remote }) => !remote).map(({ started }) => started));
    },
    stop: () => {
      for (const { keySet } of issuers) keySet.stop();
    },
  };
}

/**
 * Announces what was started and when it is ready. Stops first, so that clients learn of the shutdown `drainDelay` before
 * the port closes.
 */
function createProgressPart(
  options: AuthorizerDependencies &
    AuthorizerParts & { progress: Progress; health: HealthService; server: GrpcServer },
): Part {
  const { config, clock, log, feed, progress, health } = options;
  let timer: NodeJS.Timeout | undefined;

  function watchReadiness(startedMs: number): void {
    const look = (): void => {
      if (!progress.readiness().ready) return;
      clearInterval(timer);
      health.refresh();
      log.info('ready', { durationMs: Math.round(clock.monotonicMs() - startedMs) });
    };
    timer = setInterval(look, readinessEveryMs).unref();
    look();
  }

  return {
    name: 'readiness',
    start: () => {
      announce(options);
      watchReadiness(clock.monotonicMs());
      void feed?.waitForSync(config.revocation?.waitForSync ?? 0).then(progress.synced);
    },
    stop: async () => {
      clearInterval(timer);
      progress.drain();
      health.drain();
      const durationMs = drainDelayMs(config);
      if (durationMs === 0) return;
      log.info('draining: no longer ready; checks are still answered', { durationMs });
      await delay(durationMs);
    },
  };
}

function announce({
  config,
  log,
  server,
  issuers,
}: AuthorizerDependencies & AuthorizerParts & { server: GrpcServer }): void {
  const { mode, revocation, admin, engine, listen, tls } = config;
  for (const { rules } of issuers) {
    const kind = rules.revocable && revocation !== undefined ? 'revocable' : 'validated only';
    log.info('trusting issuer', { issuer: rules.issuer, kind });
  }
  if (revocation === undefined)
    log.warn('no `revocation` is configured: tokens are validated only, and pass until they expire');
  if (mode === 'shadow') log.warn('mode is shadow: requests that are refused pass all the same', { mode });
  if (engine === deprecatedEngine) log.warn('deprecated value of `engine`: write `native`', { engine });
  if (listen.kind === 'tcp' && tls === undefined && !isLoopback(listen.host))
    log.warn(
      '`listen` is beyond loopback without `tls`: whoever is in between reads tokens and can allow requests',
    );
  log.info('admin listens', { address: formatAddress(admin) });
  log.info('authorizer listens', {
    address: formatAddress(server.boundAddress()),
    mode,
    engine: server.engine,
  });
}

function status(
  config: AuthorizerConfig,
  { issuers, feed }: AuthorizerParts,
  progress: Progress,
  { engine }: GrpcServer,
): Record<string, unknown> {
  return {
    program: 'authorizer',
    listen: formatAddress(config.listen),
    engine,
    mode: config.mode,
    ready: progress.readiness().ready,
    draining: progress.isDraining(),
    issuers: issuers.map(({ rules, keySet }) => ({ ...rules, keys: keySet.state() })),
    revocation: feed?.status() ?? 'off: tokens are validated only',
  };
}
