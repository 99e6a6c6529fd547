import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { createTimings } from './timings.ts';
import { build } from './version.ts';

export { Registry } from 'prom-client';

/**
 * A registry with the metrics of the process (CPU, memory, event loop delay), its version and its revision.
 */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'curfew_build_info',
    help: '1, labelled with the version and the revision of this program.',
    labelNames: ['version', 'revision'],
    registers: [registry],
  }).set(build, 1);
  return registry;
}

/** One series of a counter. */
export type Tally = { inc(): void };

/**
 * A counter for events of every request. prom-client checks and hashes the labels on each increment; a tally
 * adds to a number, which goes to the series when the metrics are read.
 */
class TalliedCounter extends Counter {
  readonly #flushes: (() => void)[] = [];

  /** A series that exists from now on, at 0. */
  tally(...labelValues: string[]): Tally {
    const series = this.labels(...labelValues);
    let pending = 0;
    this.#flushes.push(() => {
      series.inc(pending);
      pending = 0;
    });
    return {
      inc: () => {
        pending += 1;
      },
    };
  }

  /** prom-client calls this before it reads the values. */
  collect(): void {
    for (const flush of this.#flushes) flush();
  }
}

export const tally = (counter: TalliedCounter, ...labelValues: string[]): Tally =>
  counter.tally(...labelValues);

const checkSecondsBuckets = [
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1,
];
const propagationSecondsBuckets = [
  0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/** The authorizer's metrics. Label values come from closed lists; never a subject, a path or a token. */
export function createAuthorizerMetrics(registry: Registry) {
  const registers = [registry];
  return {
    checks: new TalliedCounter({
      name: 'curfew_checks_total',
      help: 'Check requests decided.',
      labelNames: ['decision', 'reason'],
      registers,
    }),
    checkDuration: createTimings(registry, {
      name: 'curfew_check_duration_seconds',
      help: 'Time from a decoded check request to its decision.',
      buckets: checkSecondsBuckets,
    }),
    tokenCache: new TalliedCounter({
      name: 'curfew_token_cache_total',
      help: 'Look-ups of a token among those already verified.',
      labelNames: ['result'],
      registers,
    }),
    jwksRefreshes: new Counter({
      name: 'curfew_jwks_refreshes_total',
      help: "Attempts to load an issuer's keys.",
      labelNames: ['issuer', 'result'],
      registers,
    }),
    jwksAge: new Gauge({
      name: 'curfew_jwks_age_seconds',
      help: 'Age of the key set in use.',
      labelNames: ['issuer'],
      registers,
    }),
    issuerClockAhead: new Gauge({
      name: 'curfew_issuer_clock_ahead_seconds',
      help: "How far ahead of this clock the issuer's freshest token was issued; 0 when behind.",
      labelNames: ['issuer'],
      registers,
    }),
    upstreamValuesDropped: new Counter({
      name: 'curfew_upstream_values_dropped_total',
      help: 'Claims not passed to the upstream because their value cannot be a header.',
      labelNames: ['cause'],
      registers,
    }),
    revocations: new Gauge({
      name: 'curfew_revocations',
      help: 'Revocations held in memory.',
      labelNames: ['kind'],
      registers,
    }),
    revocationEvents: new Counter({
      name: 'curfew_revocation_events_total',
      help: 'Revocation events received.',
      labelNames: ['result'],
      registers,
    }),
    propagation: new Histogram({
      name: 'curfew_revocation_propagation_seconds',
      help: "Time from an event's `at` to its arrival here, by both machines' clocks.",
      buckets: propagationSecondsBuckets,
      registers,
    }),
    feedState: new Gauge({
      name: 'curfew_feed_state',
      help: '1 for the state the revocation feed is in.',
      labelNames: ['state'],
      registers,
    }),
    feedStaleness: new Gauge({
      name: 'curfew_feed_staleness_seconds',
      help: 'Time since which every revocation of the issuers that can be proven is known to have arrived.',
      registers,
    }),
    feedUnproven: new Gauge({
      name: 'curfew_feed_issuer_unproven',
      help: '1 while the revocation log can prove nothing about this issuer, for this cause.',
      labelNames: ['issuer', 'cause'],
      registers,
    }),
    feedResyncs: new Counter({
      name: 'curfew_feed_resyncs_total',
      help: 'Reads of the revocation log beyond the live messages.',
      labelNames: ['cause'],
      registers,
    }),
  };
}

export type AuthorizerMetrics = ReturnType<typeof createAuthorizerMetrics>;

/** Why a notice was missed, or may have been. */
const missedCauses = ['unread', 'connection', 'keys', 'database'] as const;
export type MissedCause = (typeof missedCauses)[number];

/** Metrics of the programs that own a revocation log: identity and relay. */
export function createOwnerMetrics(registry: Registry) {
  const registers = [registry];
  const noticesMissed = new Counter({
    name: 'curfew_notices_missed_total',
    help: 'Notices, and requests that may have been notices, answered without being processed.',
    labelNames: ['cause'],
    registers,
  });
  // An alert on an increase doesn't see a series that begins at 1.
  for (const cause of missedCauses) noticesMissed.inc({ cause }, 0);
  return {
    tokensIssued: new Counter({
      name: 'curfew_tokens_issued_total',
      help: 'Access tokens issued.',
      labelNames: ['grant'],
      registers,
    }),
    tokenRepeats: new Counter({
      name: 'curfew_token_repeats_total',
      help: 'Requests that got the same refresh token as an earlier one with the same refresh token or code.',
      labelNames: ['grant', 'caller'],
      registers,
    }),
    refreshReuse: new Counter({
      name: 'curfew_refresh_reuse_total',
      help: 'Refresh tokens presented a second time; each revoked its family.',
      registers,
    }),
    logins: new Counter({
      name: 'curfew_logins_total',
      help: 'Attempts to log in.',
      labelNames: ['result'],
      registers,
    }),
    outboxPending: new Gauge({
      name: 'curfew_outbox_pending',
      help: 'Revocation events committed but not yet in the log.',
      registers,
    }),
    outboxAge: new Gauge({
      name: 'curfew_outbox_age_seconds',
      help: 'Age of the oldest revocation event not yet in the log.',
      registers,
    }),
    logLeader: new Gauge({
      name: 'curfew_log_leader',
      help: '1 while this replica writes the revocation log.',
      registers,
    }),
    logReseeds: new Counter({
      name: 'curfew_log_reseeds_total',
      help: 'Times the revocation log was rebuilt from the database.',
      labelNames: ['cause'],
      registers,
    }),
    receivedEvents: new Counter({
      name: 'curfew_received_events_total',
      help: 'Events received from identity providers.',
      labelNames: ['source', 'result'],
      registers,
    }),
    noticesMissed,
  };
}

export type OwnerMetrics = ReturnType<typeof createOwnerMetrics>;
