import type { Clock } from '../runtime/clock.ts';
import { raceSeconds } from '../revocation-log/race.ts';
import type { Revocable, RevocationFinding, RevocationLimits, Revocations } from './revocable.ts';

/** What the evaluation of a token needs to know of the revocation log. */
export type RevocationView = {
  /** The revocation that names the token, if the view holds one. */
  find(token: Revocable): Extract<RevocationFinding, { kind: 'revoked' }> | undefined;
  /** How long ago the view last knew every revocation of the issuer; ms. */
  stalenessMs(issuer: string, nowMs: number, monotonicMs: number): number;
  /** How long the log keeps an entry; undefined before the first head was read. */
  readonly retentionSeconds: number | undefined;
};

const clear: RevocationFinding = { kind: 'clear' };
const unproven: RevocationFinding = { kind: 'unproven' };
const outlivesLog: RevocationFinding = { kind: 'outlives_log' };

/**
 * Decides whether a token is revoked. A revocation that the view doesn't know was committed less than
 * `stalenessMs` ago, and a token that it revokes was issued before the commit. A revoked token has therefore
 * passed for less time than its own age, and for less time than the staleness. Refusing when both exceed
 * `maxExposure` bounds the exposure. This one number replaces the choice between failing open and failing
 * closed. It also holds while there is no log.
 */
export function createRevocations(view: RevocationView, clock: Clock): Revocations {
  return {
    evaluate(token: Revocable, limits: RevocationLimits, nowMs: number): RevocationFinding {
      const { issuedAt, expiresAt } = token;
      const tolerance = limits.clockToleranceSeconds;
      const now = nowMs / 1000;
      // A token from the future would look younger than it is. The condition is written so that NaN is
      // refused too.
      if (!(issuedAt <= now + tolerance)) return unproven;
      const coveredSeconds = (view.retentionSeconds ?? Infinity) - 2 * tolerance - raceSeconds;
      if (!(issuedAt < expiresAt && expiresAt - issuedAt <= coveredSeconds)) return outlivesLog;
      const found = view.find(token);
      if (found !== undefined) return found;
      const ageMs = Math.max(0, now - issuedAt) * 1000;
      if (ageMs <= limits.maxExposureMs) return clear;
      const stalenessMs = view.stalenessMs(token.issuer, nowMs, clock.monotonicMs());
      return stalenessMs <= limits.maxExposureMs ? clear : unproven;
    },
  };
}
