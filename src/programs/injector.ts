import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { createReadinessPart } from '../assembly/readiness-part.ts';
import { authorizerSchema } from '../config/authorizer.ts';
import { injectorSchema, type InjectorConfig } from '../config/injector.ts';
import type { EnvoyNeeds } from '../injection/envoy-bootstrap.ts';
import { otherSpellings } from '../injection/envoy-reserved.ts';
import { createInjectorMetrics } from '../injection/injection-metrics.ts';
import { answerReview, type InjectionOptions, type InjectionRecorder } from '../injection/injection.ts';
import { createWebhook } from '../injection/webhook.ts';
import { formatAddress } from '../runtime/address.ts';
import { createAdminServer } from '../runtime/admin-server.ts';
import { loadConfig } from '../runtime/config.ts';
import { createLifecycle, runUntilSignal } from '../runtime/lifecycle.ts';
import { createProgramLog, type Log } from '../runtime/log.ts';
import { createRegistry } from '../runtime/metrics.ts';

/**
 * Runs the admission webhook until SIGTERM or SIGINT.
 * @returns the exit code
 * @throws ERR_CONFIG_INVALID, ERR_CONFIG_UNREADABLE, ERR_SECRET_UNREADABLE, ERR_ADDRESS_IN_USE,
 * ERR_LISTEN_FAILED
 */
export async function runInjector(configFile: string): Promise<number> {
  const config = loadConfig({ schema: injectorSchema, file: configFile });
  const log = createProgramLog('injector', config.log.level);
  const registry = createRegistry();
  const metrics = createInjectorMetrics(registry);
  const options = injectionOptions(config);
  const record = createRecorder(log, (result, reason) => metrics.injections.inc({ result, reason }));
  const webhook = createWebhook({
    address: config.listen,
    tls: config.tls,
    answer: (body, invocation) => answerReview(body, options, record, invocation),
    log,
  });
  const readiness = createReadinessPart(() => {
    log.info('admin listening', { address: formatAddress(config.admin) });
    log.info('injector listening', { address: formatAddress(config.listen) });
  });
  const admin = createAdminServer({
    address: config.admin,
    registry,
    log,
    readiness: () => {
      const ready = readiness.isReady();
      return { ready, parts: { webhook: ready ? 'listening' : 'stopped' } };
    },
    status: () => ({ program: 'injector', images: config.images, capture: config.capture }),
  });
  return runUntilSignal(createLifecycle([admin, webhook, readiness], { drainMs: config.drain, log }), log);
}

/**
 * The settings that every injection has in common.
 * @throws ERR_CONFIG_INVALID
 */
export function injectionOptions(config: InjectorConfig): InjectionOptions {
  const authorizer = v.parse(authorizerSchema, config.authorizer);
  // Throws for a token source that Envoy can't match, so that the start fails instead of every injection.
  otherSpellings(authorizer.token.sources);
  const needs: EnvoyNeeds = {
    sources: authorizer.token.sources,
    reservedPrefix: authorizer.upstream.prefix,
    cors: authorizer.denied.corsOrigins.length > 0,
    loginRedirect: authorizer.denied.loginRedirect !== undefined,
  };
  return {
    rules: {
      excludeNamespaces: new Set(config.excludeNamespaces),
      allowOptOut: config.allowOptOut,
      networkPolicy: {
        namespaces: new Set(config.networkPolicy.namespaces),
        managedExternally: config.networkPolicy.managedExternally,
      },
      defaults: { capture: config.capture, trustedProxyHops: config.envoy.trustedProxyHops },
    },
    patch: {
      images: config.images,
      imagePullPolicy: config.imagePullPolicy,
      resources: config.resources,
      secretMounts: config.secretMounts,
      authorizerHeapMb: heapMb(authorizer.revocation?.maxEntries ?? 0),
      envoyConcurrency: config.envoy.concurrency,
      envoyLogLevel: config.envoy.logLevel,
      accessLog: config.envoy.accessLog,
      addressFamilies: config.addressFamilies,
      needs,
      authorizerSettings: config.authorizer,
      newPath: () => randomBytes(16).toString('hex'),
    },
  };
}

// 64 MB for the program and its token cache, and two generations of revocations with 130 bytes an entry at
// most.
const heapMb = (maxEntries: number): number => 64 + Math.ceil((maxEntries * 2 * 130) / 1024 / 1024);

function createRecorder(log: Log, count: (result: string, reason: string) => void): InjectionRecorder {
  return ({ result, reason, message, namespace, pod, uid }) => {
    count(result, reason);
    const fields = {
      result,
      reason,
      kind: 'Pod',
      ...(uid !== undefined && { requestId: uid }),
      ...(namespace !== undefined && { namespace }),
      ...(pod !== undefined && { pod }),
    };
    if (result === 'refused') log.warn('pod refused', { ...fields, cause: message ?? reason });
    else log.info(result === 'injected' ? 'pod injected' : 'pod skipped', fields);
  };
}
