import type { EpochSeconds } from '../../runtime/clock.ts';
import { readAudiences } from '../../token/claim-values.ts';
import { isId } from '../../token/claims.ts';
import type { JsonObject } from '../../token/strict-json.ts';
import { isAt } from '../../revocation/event.ts';
import { refuse, type Refused } from './receiver.ts';
import { shown } from './signed-jwt.ts';

/** What a notice in a JWT must say of itself, whatever it is about. */
export type NoticeRules = {
  /** `aud` must hold one of them. */
  readonly audiences: readonly string[];
  /** Oldest `iat`; ms. */
  readonly maxAgeMs: number;
  /** How far the sender's clock may be off; ms. */
  readonly clockToleranceMs: number;
  readonly needsExpiry: boolean;
};

export type Notice = {
  readonly kind: 'good';
  readonly id: string;
  readonly issuedAt: EpochSeconds;
  readonly rememberUntilMs: number;
};

/** Judges `jti`, `aud`, `iat` and `exp` (RFC 7519 §4.1, RFC 8417 §2.2). */
export function judgeNotice(claims: JsonObject, rules: NoticeRules, nowMs: number): Notice | Refused {
  const { jti } = claims;
  if (!isId(jti)) return refuse('malformed', { claim: 'jti', expected: 'a text of 1 to 256 characters' });
  const audiences = readAudiences(claims);
  if (audiences.kind === 'unfit') return refuse('malformed', audiences.detail);
  if (!audiences.value.some((audience) => rules.audiences.includes(audience)))
    return refuse('wrong_audience', {
      claim: 'aud',
      expected: rules.audiences.join(' '),
      found: shown(audiences.value.join(' ')),
    });
  return judgeAge(claims, rules, nowMs) ?? remembered(jti, Number(claims['iat']), rules);
}

/** Judges when a delivery says that it was made. */
export function judgeDate(
  claim: string,
  at: unknown,
  { maxAgeMs, clockToleranceMs }: Pick<NoticeRules, 'maxAgeMs' | 'clockToleranceMs'>,
  nowMs: number,
): Refused | undefined {
  if (!isAt(at)) return refuse('malformed', { claim, expected: 'seconds since 1970', found: shown(at) });
  const ageMs = nowMs - at * 1000;
  if (ageMs > maxAgeMs + clockToleranceMs)
    return refuse('too_old', { claim, expected: `at most ${maxAgeMs} ms old`, found: `${ageMs} ms` });
  if (ageMs < -clockToleranceMs)
    return refuse('not_yet_valid', { claim, expected: 'not in the future', found: `${-ageMs} ms ahead` });
  return undefined;
}

function judgeAge(claims: JsonObject, rules: NoticeRules, nowMs: number): Refused | undefined {
  const { exp } = claims;
  const dated = judgeDate('iat', claims['iat'], rules, nowMs);
  if (dated !== undefined) return dated;
  if (exp === undefined && !rules.needsExpiry) return undefined;
  if (!isAt(exp))
    return refuse('malformed', { claim: 'exp', expected: 'seconds since 1970', found: shown(exp) });
  if (nowMs < exp * 1000 + rules.clockToleranceMs) return undefined;
  return refuse('expired', { claim: 'exp', expected: `after ${Math.floor(nowMs / 1000)}`, found: `${exp}` });
}

const remembered = (id: string, issuedAt: EpochSeconds, rules: NoticeRules): Notice => ({
  kind: 'good',
  id,
  issuedAt,
  rememberUntilMs: rememberUntilMs(issuedAt, rules),
});

/** Till when a delivery of that date would pass `judgeDate`, and as much again as clocks may differ. */
export const rememberUntilMs = (
  at: EpochSeconds,
  { maxAgeMs, clockToleranceMs }: Pick<NoticeRules, 'maxAgeMs' | 'clockToleranceMs'>,
): number => at * 1000 + maxAgeMs + 2 * clockToleranceMs;
