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

/** The state of the program. It becomes ready once; after that, it can only start to drain. */
type Progress = {
  readiness(): Readiness;
  isDraining(): boolean;
  /** Ends readiness. Checks are still answered until their connections close. */
  drain(): void;
  /** Call when the revocation list is synchronised, or when `waitForSync` has passed. */
  synced(): void;
};

/** How often readiness is checked, to notify health watchers and to log it. */
const readinessEveryMs = 100;
/** Default of `drainDelay` for an address that other machines reach; ms. */
const sharedDrainDelayMs = 5000;

/**
 * Runs the ext_authz server until SIGTERM or SIGINT.
 * @returns the exit code
 * @throws ERR_CONFIG_INVALID, ERR_CONFIG_UNREADABLE, ERR_SECRET_UNREADABLE, ERR_ADDRESS_IN_USE,
 * ERR_LISTEN_FAILED
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
  // Parts stop in reverse order: the server stops before the parts that its decisions need.
  const parts = [
    // The feed comes first because its start only begins to connect: the other parts start while Redis
    // answers.
    ...(authorizerParts.feed === undefined ? [] : [authorizerParts.feed]),
    admin,
    createKeysPart(authorizerParts.issuers),
    server,
    tuning,
    createProgressPart({ ...dependencies, ...authorizerParts, progress, health, server }),
  ];
  return runUntilSignal(createLifecycle(parts, { drainMs: drainDelayMs(config) + config.drain, log }), log);
}

/** A sidecar stops without delay: the proxy beside it has no other authorizer to switch to. */
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
    findToken: authorizerParts.verifier.find,
    clock,
    log,
  });
  return createGrpcServer({
    address: config.listen,
    tls: config.tls,
    engine: config.engine === deprecatedEngine ? 'native' : config.engine,
    methods: [authorization],
    health,
    // The other parts stop in the remaining tenth.
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
    // A stale revocation list does not end readiness. The authorizer reports it as a metric and refuses
    // tokens older than `maxExposure`; without the authorizer, Envoy would refuse every request.
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

/** The issuers whose revocations may be incomplete, with the cause. */
const unprovenOf = ({ unproven }: FeedStatus): Record<string, string> =>
  Object.fromEntries(unproven.map(({ issuer, cause }) => [issuer, cause]));

/**
 * Loads the keys of every issuer. A local key file must be valid at the start; a JWKS server may be
 * unreachable.
 */
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
 * Logs what has started and when the program is ready. Stops first, so that health watchers learn of the
 * shutdown `drainDelay` before the port closes.
 */
function createProgressPart(
  options: AuthorizerDependencies &
    AuthorizerParts & { progress: Progress; health: HealthService; server: GrpcServer },
): Part {
  const { config, clock, log, feed, progress, health } = options;
  let timer: NodeJS.Timeout | undefined;

  function watchReadiness(startedMs: number): void {
    const checkReadiness = (): void => {
      if (!progress.readiness().ready) return;
      clearInterval(timer);
      health.refresh();
      log.info('ready', { durationMs: Math.round(clock.monotonicMs() - startedMs) });
    };
    timer = setInterval(checkReadiness, readinessEveryMs).unref();
    checkReadiness();
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
      log.info('draining', { durationMs });
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
    log.warn('`revocation` is not configured: tokens are validated only, and are accepted until they expire');
  if (mode === 'shadow') log.warn('mode is shadow: requests that would be denied are allowed', { mode });
  if (engine === deprecatedEngine) log.warn('deprecated value of `engine`: write `native`', { engine });
  if (listen.kind === 'tcp' && tls === undefined && !isLoopback(listen.host))
    log.warn(
      '`listen` is not a loopback address and has no `tls`: the network can read tokens and forge decisions',
    );
  log.info('admin listening', { address: formatAddress(admin) });
  log.info('authorizer listening', {
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
