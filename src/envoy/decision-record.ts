import type { CheckRequest } from '../check/check-request.ts';
import type { Decision, Reason } from '../check/decision.ts';
import { allReasons } from '../check/reasons.ts';
import type { Clock } from '../runtime/clock.ts';
import { withoutCredentials, type Log, type LogFields } from '../runtime/log.ts';
import { tally, type AuthorizerMetrics, type Tally } from '../runtime/metrics.ts';
import { sessionHash } from '../runtime/session-hash.ts';
import type { AccessToken } from '../token/access-token.ts';

export type DecisionRecordOptions = {
  metrics: Pick<AuthorizerMetrics, 'checks' | 'checkDuration'>;
  log: Log;
  clock: Clock;
  /** Which decisions are logged. */
  decisions: 'none' | 'denied' | 'all';
  mode: 'enforce' | 'shadow';
};

export type DecisionRecord = (
  decision: Decision,
  request: CheckRequest | undefined,
  durationMs: number,
) => void;

// The log is written synchronously. Without a limit, a flood of bad tokens would make it the bottleneck.
const maxLinesPerSecond = 200;
const maxRouteLength = 256;

/**
 * Counts every decision and logs those that are configured, at most 200 a second. The log then says how many
 * were left out.
 */
export function createDecisionRecord(options: DecisionRecordOptions): DecisionRecord {
  const { metrics, log, clock, mode } = options;
  const allowed = tally(metrics.checks, 'allow', 'none');
  const denied = deniedTallies(metrics.checks);
  let second = 0;
  let lines = 0;
  let suppressed = 0;

  function mayWrite(): boolean {
    const now = Math.floor(clock.monotonicMs() / 1000);
    if (now !== second) {
      if (suppressed > 0) log.warn('decisions not logged', { count: suppressed });
      second = now;
      lines = 0;
      suppressed = 0;
    }
    lines += 1;
    if (lines <= maxLinesPerSecond) return true;
    suppressed += 1;
    return false;
  }

  return (decision, request, durationMs) => {
    (decision.kind === 'allow' ? allowed : denied[decision.reason]).inc();
    metrics.checkDuration.observe(durationMs / 1000);
    if (options.decisions === 'none' || (decision.kind === 'allow' && options.decisions === 'denied')) return;
    if (!mayWrite()) return;
    const message = decision.kind === 'allow' ? 'request allowed' : 'request denied';
    log.info(message, {
      decision: decision.kind,
      mode,
      ...requestFields(request),
      ...decisionFields(decision),
    });
  };
}

/** One counter for each reason. All series exist from the start, with the value 0. */
const deniedTallies = (checks: AuthorizerMetrics['checks']): Record<Reason, Tally> =>
  Object.fromEntries(allReasons.map((reason) => [reason, tally(checks, 'deny', reason)])) as Record<
    Reason,
    Tally
  >;

function requestFields(request: CheckRequest | undefined): LogFields {
  if (request === undefined) return {};
  // The query is left out: it may hold a token.
  const path = withoutCredentials(request.path.split('?', 1)[0] ?? '');
  return {
    method: request.method.slice(0, 32),
    host: request.host.slice(0, maxRouteLength),
    route: path.slice(0, maxRouteLength),
  };
}

function decisionFields(decision: Decision): LogFields {
  if (decision.kind === 'allow') return tokenFields(decision.token);
  const { reason, detail, token, origin } = decision;
  const source =
    origin === undefined
      ? {}
      : { issuer: origin.issuer, ...(origin.keyId !== undefined && { keyId: origin.keyId }) };
  return { reason, ...source, ...tokenFields(token), ...detail };
}

function tokenFields(token: AccessToken | undefined): LogFields {
  if (token === undefined) return {};
  const { issuer, keyId, session } = token;
  return { issuer, keyId, ...(session !== undefined && { sessionHash: sessionHash(session) }) };
}
