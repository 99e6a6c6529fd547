import type { EpochSeconds } from '../runtime/clock.ts';
import { isId, maxIdLength } from './claims.ts';
import type { RejectionDetail, TokenRejection } from './rejection.ts';
import { numberOf, type JsonObject } from './strict-json.ts';

/** A claim that is not what it must be. */
export type Unfit = {
  readonly kind: 'unfit';
  readonly reason: TokenRejection;
  readonly detail: RejectionDetail;
};

type Value<T> = { readonly kind: 'value'; readonly value: T };

export type Times = {
  readonly kind: 'times';
  readonly issuedAt: EpochSeconds;
  readonly notBefore: EpochSeconds | undefined;
  readonly expiresAt: EpochSeconds;
};

// 9999-12-31T23:59:59Z; anything later is milliseconds or nonsense.
const maxNumericDate = 253_402_300_799;
const none: readonly string[] = [];

/** `exp` and `iat`, which are required, and `nbf`. */
export function readTimes(claims: JsonObject): Times | Unfit {
  const { exp, iat, nbf } = claims;
  if (exp === undefined) return unfit('missing_claim', 'exp', 'a number', 'absent');
  if (iat === undefined) return unfit('missing_claim', 'iat', 'a number', 'absent');
  const [expiresAt, issuedAt, notBefore] = [numberOf(exp), numberOf(iat), numberOf(nbf)];
  if (!isNumericDate(expiresAt)) return notADate('exp', exp);
  if (!isNumericDate(issuedAt)) return notADate('iat', iat);
  if (nbf !== undefined && !isNumericDate(notBefore)) return notADate('nbf', nbf);
  return { kind: 'times', issuedAt, notBefore, expiresAt };
}

/** Reads a claim that holds an id. It may be absent. */
export function readId(claims: JsonObject, claim: string): Value<string | undefined> | Unfit {
  const value = claims[claim];
  if (value === undefined || isId(value)) return { kind: 'value', value };
  const found = typeof value === 'string' ? `${value.length} characters` : typeName(value);
  return unfit('malformed_token', claim, `a text of 1 to ${maxIdLength} characters`, found);
}

/**
 * Reads the clients that a token names, in the order of `names` and each once. RFC 9068 has `client_id`,
 * OpenID Connect `azp`; a token with both may name two, and either may be revoked. A token with an unreadable
 * one is rejected, because a revocation of that client would miss it.
 */
export function readClientIds(
  claims: JsonObject,
  names: readonly string[],
): Value<readonly string[]> | Unfit {
  const found: string[] = [];
  for (const name of names) {
    // Some providers write null for a claim that is absent. It is harmless if another claim names the client.
    if (claims[name] === null && found.length > 0) continue;
    const id = readId(claims, name);
    if (id.kind === 'unfit') return id;
    if (id.value !== undefined && !found.includes(id.value)) found.push(id.value);
  }
  return { kind: 'value', value: found };
}

/** `aud` as a list (RFC 7519 §4.1.3); empty when absent. */
export function readAudiences(claims: JsonObject): Value<readonly string[]> | Unfit {
  const value = claims['aud'];
  if (value === undefined) return { kind: 'value', value: none };
  if (typeof value === 'string') return { kind: 'value', value: [value] };
  if (isTextList(value)) return { kind: 'value', value };
  return unfit('malformed_token', 'aud', 'a text or a list of texts', typeName(value));
}

/** `scope` (RFC 9068 §2.2.3), else `scp`: space-separated or a list; empty when absent. */
export function readScopes(claims: JsonObject): Value<readonly string[]> | Unfit {
  const claim = claims['scope'] === undefined ? 'scp' : 'scope';
  const value = claims[claim];
  if (value === undefined) return { kind: 'value', value: none };
  if (typeof value === 'string')
    return { kind: 'value', value: value.split(' ').filter((scope) => scope !== '') };
  if (isTextList(value)) return { kind: 'value', value };
  return unfit('malformed_token', claim, 'a text or a list of texts', typeName(value));
}

const isNumericDate = (value: unknown): value is number =>
  typeof value === 'number' && value >= 0 && value <= maxNumericDate;

const isTextList = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

const notADate = (claim: string, value: unknown): Unfit =>
  unfit(
    'malformed_token',
    claim,
    `seconds since 1970, at most ${maxNumericDate}`,
    numberOf(value)?.toString() ?? typeName(value),
  );

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (JSON.isRawJSON(value)) return 'a number';
  if (!Array.isArray(value)) return `a ${typeof value}`;
  return isTextList(value) ? 'a list of texts' : 'a list with other than texts';
}

const unfit = (reason: TokenRejection, claim: string, expected: string, found: string): Unfit => ({
  kind: 'unfit',
  reason,
  detail: { claim, expected, found },
});
