import type { RelayConfig } from '../config/relay.ts';
import type { Outbox } from '../publisher/outbox.ts';
import { configuredReceivers } from '../receivers/configured-receivers.ts';
import { createReceivers, type Receivers } from '../receivers/receivers.ts';
import type { Database } from '../database/database.ts';
import { clientAddress } from '../runtime/client-address.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { createAuthorizerMetrics, Registry, type OwnerMetrics } from '../runtime/metrics.ts';

/** The other issuers whose tokens a log owner (identity or relay) revokes, and where their events arrive. */
export type EventReceiversConfig = Pick<RelayConfig, 'issuers' | 'receivers'>;

export type EventReceiversDependencies = {
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
 * Constructs the configured receivers. Nothing is opened before they are started.
 * @throws ERR_CONFIG_INVALID when a JWKS address may not be used
 */
export function createConfiguredReceivers(
  { issuers, receivers }: EventReceiversConfig,
  { trustedProxyHops, registry, ...dependencies }: EventReceiversDependencies,
): Receivers {
  const metrics = keyMetrics(registry);
  return createReceivers({
    ...dependencies,
    receivers: configuredReceivers({ ...dependencies, issuers, receivers, metrics }),
    clientAddress: (request) => clientAddress(request, trustedProxyHops),
    isBehindProxies: trustedProxyHops > 0,
  });
}

/** Registers the metrics of key sets, which the authorizer also has, and none of the authorizer's others. */
function keyMetrics(registry: Registry) {
  const { jwksRefreshes, jwksAge } = createAuthorizerMetrics(new Registry());
  registry.registerMetric(jwksRefreshes);
  registry.registerMetric(jwksAge);
  return { jwksRefreshes, jwksAge };
}

/** Logs which receivers revoke the tokens of each issuer, and which senders do not retry. */
export function announceReceivers({ issuers, receivers }: EventReceiversConfig, log: Log): void {
  for (const { issuer } of issuers) {
    const kinds = receivers.filter((one) => [one.issuer].flat().includes(issuer)).map(({ kind }) => kind);
    log.info('revoking tokens of issuer', {
      issuer,
      kind: kinds.length === 0 ? 'by command only' : kinds.join(' '),
    });
  }
  for (const { path, kind, redelivery } of receivers) {
    if (redelivery > 0) continue;
    log.info(
      'the sender of this receiver does not retry: after any downtime, every token issued before is revoked',
      { route: path, kind },
    );
  }
}
