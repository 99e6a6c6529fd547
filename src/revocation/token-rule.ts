import type { Clock } from '../runtime/clock.ts';
import { raceSeconds } from '../revocation-log/race.ts';
import type { Revocable, RevocationFinding, RevocationLimits, Revocations } from './revocable.ts';

/** What the view knows when a token is judged. */
export type RevocationView = {
  /** What names the token among the revocations held. */
  find(token: Revocable): Extract<RevocationFinding, { kind: 'revoked' }> | undefined;
  /** Since when revocations of the issuer may be unknown; ms. */
  stalenessMs(issuer: string, nowMs: number, monotonicMs: number): number;
  /** How long the log remembers; undefined before the first head. */
  readonly retentionSeconds: number | undefined;
};

const clear: RevocationFinding = { kind: 'clear' };
const unproven: RevocationFinding = { kind: 'unproven' };
const outlivesLog: RevocationFinding = { kind: 'outlives_log' };

/**
 * The decision. A revocation unknown here was committed after `stalenessMs` ago; a token it concerns was issued before
 * it. So a token passes wrongly for less than both its own age and the staleness, and refusing when both exceed
 * `maxExposure` bounds the damage. One number stands for fail-open and fail-closed, and it holds without any log too.
 */
export function createRevocations(view: RevocationView, clock: Clock): Revocations {
  return {
    evaluate(token: Revocable, limits: RevocationLimits, nowMs: number): RevocationFinding {
      const { issuedAt, expiresAt } = token;
      const tolerance = limits.clockToleranceSeconds;
      const now = nowMs / 1000;
      // Written so that NaN is refused. From the future, a token would look younger than it is.
      if (!(issuedAt <= now + tolerance)) return unproven;
      const rememberedSeconds = (view.retentionSeconds ?? Infinity) - 2 * tolerance - raceSeconds;
      if (!(issuedAt < expiresAt && expiresAt - issuedAt <= rememberedSeconds)) return outlivesLog;
      const found = view.find(token);
      if (found !== undefined) return found;
      const ageMs = Math.max(0, now - issuedAt) * 1000;
      if (ageMs <= limits.maxExposureMs) return clear;
      const stalenessMs = view.stalenessMs(token.issuer, nowMs, clock.monotonicMs());
      return stalenessMs <= limits.maxExposureMs ? clear : unproven;
    },
  };
}
