import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  announceLogOwner,
  createDatabasePart,
  createLogOwnerAdmin,
  createLogOwnerParts,
  databaseKind,
  type LogOwnerDependencies,
} from '../assembly/log-owner-parts.ts';
import { createReadinessPart } from '../assembly/readiness-part.ts';
import { relaySchema, type RelayConfig } from '../config/relay.ts';
import type { Receivers } from '../receivers/receivers.ts';
import { formatAddress } from '../runtime/address.ts';
import { systemClock } from '../runtime/clock.ts';
import { loadConfig } from '../runtime/config.ts';
import { createHttpServer } from '../runtime/http-server.ts';
import { createLifecycle, runUntilSignal, type Lifecycle } from '../runtime/lifecycle.ts';
import { createProgramLog } from '../runtime/log.ts';
import { createRegistry } from '../runtime/metrics.ts';

/**
 * Runs the relay, which owns a revocation log for other identity providers, until SIGTERM or SIGINT.
 * @param configFile path of its YAML configuration
 * @returns the exit code
 * @throws ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID, ERR_SECRET_UNREADABLE, ERR_JWKS_UNAVAILABLE,
 * ERR_JWKS_INVALID, ERR_DATABASE, ERR_ADDRESS_IN_USE, ERR_LISTEN_FAILED
 */
export async function runRelay(configFile: string): Promise<number> {
  const config = loadConfig({ schema: relaySchema, file: configFile });
  const log = createProgramLog('relay', config.log.level);
  const lifecycle = createRelay(config, { log, registry: createRegistry(), clock: systemClock });
  return await runUntilSignal(lifecycle, log);
}

/** Constructs the program. Nothing is opened before it is started. */
export function createRelay(config: RelayConfig, dependencies: LogOwnerDependencies): Lifecycle {
  const { log } = dependencies;
  const owner = createLogOwnerParts(config, dependencies);
  const { database, publisher, receivers } = owner;
  const http = createHttpServer({
    address: config.listen,
    handler: createHandler(receivers),
    crowdedOut: receivers.crowdedOut,
    log,
  });
  const readiness = createReadinessPart(() => {
    announceLogOwner(config, log);
    log.info('relay listening', { address: formatAddress(config.listen), kind: databaseKind(config) });
  });
  const admin = createLogOwnerAdmin(config, owner, {
    ...dependencies,
    isReady: readiness.isReady,
    states: () => ({ receivers: receivers.states() }),
  });
  // Parts stop in reverse order. The receivers start before the publisher, so that its first log already
  // holds the revocations for deliveries that were missed while the program was down.
  const parts = [
    admin,
    createDatabasePart(database),
    receivers,
    publisher,
    http,
    receivers.listening,
    readiness,
  ];
  return createLifecycle(parts, { drainMs: config.drain, log });
}

function createHandler(receivers: Receivers) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (await receivers.handle(request, response)) return;
    response.writeHead(404, { 'content-type': 'text/plain', 'cache-control': 'no-store' }).end('not found\n');
  };
}
