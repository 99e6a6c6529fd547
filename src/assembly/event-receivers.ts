import type { RelayConfig } from '../config/relay.ts';
import type { Outbox } from '../publisher/outbox.ts';
import type { PublisherIssuer } from '../publisher/publisher-options.ts';
import { configuredReceivers } from '../receivers/configured-receivers.ts';
import { createReceivers, type Receivers } from '../receivers/receivers.ts';
import type { Database } from '../database/database.ts';
import { clientAddress } from '../runtime/client-address.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { createAuthorizerMetrics, Registry, type OwnerMetrics } from '../runtime/metrics.ts';

/** What the owners of a log, relay and identity, do for issuers of others. */
export type ReceivingConfig = Pick<RelayConfig, 'issuers' | 'receivers'>;

/** Issuers of others, for the publisher. */
export const foreignIssuers = ({ issuers }: Pick<ReceivingConfig, 'issuers'>): PublisherIssuer[] =>
  issuers.map(({ issuer, maxTokenLifetime }) => ({
    issuer,
    clock: 'foreign',
    maxTokenLifetimeMs: maxTokenLifetime,
  }));

export type ReceivingDependencies = {
  readonly database: Database;
  readonly outbox: Outbox;
  readonly trustedProxyHops: number;
  readonly clockToleranceMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: OwnerMetrics;
  readonly registry: Registry;
};

/**
 * The receivers as configured. Nothing is opened before their start.
 * @throws ERR_CONFIG_INVALID when an address of keys may not be used
 */
export function createConfiguredReceivers(
  { issuers, receivers }: ReceivingConfig,
  { trustedProxyHops, registry, ...dependencies }: ReceivingDependencies,
): Receivers {
  const metrics = keyMetrics(registry);
  return createReceivers({
    ...dependencies,
    receivers: configuredReceivers({ ...dependencies, issuers, receivers, metrics }),
    clientAddress: (request) => clientAddress(request, trustedProxyHops),
    isBehindProxies: trustedProxyHops > 0,
  });
}

/** The two metrics of key sets, without the others of the authorizer. */
function keyMetrics(registry: Registry) {
  const { jwksRefreshes, jwksAge } = createAuthorizerMetrics(new Registry());
  registry.registerMetric(jwksRefreshes);
  registry.registerMetric(jwksAge);
  return { jwksRefreshes, jwksAge };
}

/** Says whose tokens are revoked by what. */
export function announceReceivers({ issuers, receivers }: ReceivingConfig, log: Log): void {
  for (const { issuer } of issuers) {
    const its = receivers.filter((one) => [one.issuer].flat().includes(issuer));
    const kind = its.length === 0 ? 'by command only' : its.map((one) => one.kind).join(' ');
    log.info('revoking tokens of issuer', { issuer, kind });
  }
  for (const { path, kind, redelivery } of receivers) {
    if (redelivery > 0) continue;
    log.info('its sender is taken to try once: whenever nobody listened, all tokens so far are revoked', {
      route: path,
      kind,
    });
  }
}
