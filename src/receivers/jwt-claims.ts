import type { EpochSeconds } from '../runtime/clock.ts';
import { readAudiences } from '../token/claim-values.ts';
import { isId } from '../token/claims.ts';
import { numberOf, type JsonObject } from '../token/strict-json.ts';
import { latestCutOff } from '../revocation-log/cut-off-limit.ts';
import { isAt } from '../revocation-log/event.ts';
import { refuseDelivery, type Refused } from './receiver.ts';
import { shown } from './signed-jwt.ts';

/** The rules for the registered claims of a notice in a JWT. */
export type NoticeRules = {
  /** `aud` must hold one of them. */
  readonly audiences: readonly string[];
  /** Largest age by `iat`; ms. */
  readonly maxAgeMs: number;
  /** How far the issuer's clock may be off; ms. */
  readonly clockToleranceMs: number;
  /** Whether `exp` is required. It is checked whenever it is present. */
  readonly needsExpiry: boolean;
};

export type NoticeTimes = {
  /** `iat`, limited to `latest`. */
  readonly issuedAt: EpochSeconds;
  readonly latest: EpochSeconds;
};

export type Notice = NoticeTimes & {
  readonly kind: 'good';
  readonly id: string;
  readonly duplicatesUntilMs: number;
};

/**
 * How far ahead of this machine's clock the date of a notice may be; ms. It is generous: a refused notice
 * revokes nothing, and many senders don't retry.
 */
const maxAheadMs = 60_000;

/** Checks `jti`, `aud`, `iat` and `exp` (RFC 7519 §4.1, RFC 8417 §2.2). */
export function checkNotice(claims: JsonObject, rules: NoticeRules, nowMs: number): Notice | Refused {
  const { jti } = claims;
  if (!isId(jti))
    return refuseDelivery('malformed', { claim: 'jti', expected: 'a text of 1 to 256 characters' });
  const audiences = readAudiences(claims);
  if (audiences.kind === 'unfit') return refuseDelivery('malformed', audiences.detail);
  if (!audiences.value.some((audience) => rules.audiences.includes(audience)))
    return refuseDelivery('wrong_audience', {
      claim: 'aud',
      expected: rules.audiences.join(' '),
      found: shown(audiences.value.join(' ')),
    });
  return checkAge(claims, rules, nowMs) ?? goodNotice(jti, numberOf(claims['iat']) ?? 0, rules, nowMs);
}

/** 2000-01-01. An earlier time is a field that the sender didn't set. */
const earliestEvent = 946_684_800;

/** The time of an event in seconds since 1970; undefined if the value is no plausible time. */
export function eventTimeOf(value: unknown): EpochSeconds | undefined {
  const at = numberOf(value);
  return isAt(at) && at >= earliestEvent ? at : undefined;
}

/** Checks the date of a delivery. */
export function checkDate(
  claim: string,
  value: unknown,
  { maxAgeMs, clockToleranceMs }: Pick<NoticeRules, 'maxAgeMs' | 'clockToleranceMs'>,
  nowMs: number,
): Refused | undefined {
  const at = numberOf(value);
  if (!isAt(at))
    return refuseDelivery('malformed', { claim, expected: 'seconds since 1970', found: shown(value) });
  const ageMs = nowMs - at * 1000;
  if (ageMs > maxAgeMs + clockToleranceMs)
    return refuseDelivery('too_old', { claim, expected: `at most ${maxAgeMs} ms old`, found: `${ageMs} ms` });
  const aheadMs = Math.max(maxAheadMs, clockToleranceMs);
  if (ageMs < -aheadMs)
    return refuseDelivery('not_yet_valid', {
      claim,
      expected: `at most ${aheadMs} ms ahead`,
      found: `${-ageMs} ms ahead`,
    });
  return undefined;
}

function checkAge(claims: JsonObject, rules: NoticeRules, nowMs: number): Refused | undefined {
  const exp = numberOf(claims['exp']);
  const dated = checkDate('iat', claims['iat'], rules, nowMs);
  if (dated !== undefined) return dated;
  if (claims['exp'] === undefined && !rules.needsExpiry) return undefined;
  if (!isAt(exp))
    return refuseDelivery('malformed', {
      claim: 'exp',
      expected: 'seconds since 1970',
      found: shown(claims['exp']),
    });
  if (nowMs < exp * 1000 + rules.clockToleranceMs) return undefined;
  return refuseDelivery('expired', {
    claim: 'exp',
    expected: `after ${Math.floor(nowMs / 1000)}`,
    found: `${exp}`,
  });
}

function goodNotice(id: string, iat: EpochSeconds, rules: NoticeRules, nowMs: number): Notice {
  // The owner lowers a cut-off too, but by the time at which it writes an epoch: a later epoch would move the
  // cut-off.
  const latest = latestCutOff(nowMs, rules.clockToleranceMs);
  const issuedAt = Math.min(iat, latest);
  return { kind: 'good', id, issuedAt, latest, duplicatesUntilMs: duplicatesUntilMs(iat, rules) };
}

/**
 * How long the id of a delivery with this date must be kept to detect duplicates: until it no longer passes
 * `checkDate`, plus the largest difference between the clocks of replicas.
 */
export const duplicatesUntilMs = (
  at: EpochSeconds,
  { maxAgeMs, clockToleranceMs }: Pick<NoticeRules, 'maxAgeMs' | 'clockToleranceMs'>,
): number => at * 1000 + maxAgeMs + 2 * clockToleranceMs;
