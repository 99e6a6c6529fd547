import { describe, expect, it } from 'vitest';
import {
  createBackchannelLogout,
  type BackchannelLogoutOptions,
} from '../../src/receivers/backchannel-logout.ts';
import { refuseDelivery, type DeliveryRefusal } from '../../src/receivers/receiver.ts';
import { issueToken, testIssuer, testKey, testNow } from '../token/tokens.ts';
import { evaluate, keySetOf, logoutEvent, logoutForm, logoutToken, nowMs, strangeKey } from './senders.ts';

const key = testKey();

const receiver = (options: Partial<BackchannelLogoutOptions> = {}) =>
  createBackchannelLogout({
    path: '/backchannel-logout',
    issuer: testIssuer,
    audiences: ['web', 'cli'],
    algorithms: ['RS256'],
    keySet: keySetOf(key),
    maxAgeMs: 300_000,
    clockToleranceMs: 5000,
    tokensHoldSid: true,
    needsExpiry: true,
    ...options,
  });

const revokedBy = async (token: string, options: Partial<BackchannelLogoutOptions> = {}) => {
  const evaluated = await evaluate(receiver(options), logoutForm(token));
  if (evaluated.kind !== 'accepted') throw new Error(JSON.stringify(evaluated));
  return evaluated.requests;
};

const common = { iss: testIssuer, at: testNow, reason: 'logout' };

describe('a logout token', () => {
  it('with sid revokes the session', async () => {
    expect(await revokedBy(logoutToken())).toEqual([{ ...common, kind: 'session', id: 'session-1' }]);
    expect(await revokedBy(logoutToken({ claims: { sub: undefined } }))).toEqual([
      { ...common, kind: 'session', id: 'session-1' },
    ]);
  });

  it('with sub only revokes the subject up to its iat', async () => {
    expect(await revokedBy(logoutToken({ claims: { sid: undefined } }))).toEqual([
      { ...common, kind: 'subject', id: 'user-1' },
    ]);
  });

  it('revokes the subject if access tokens have another session claim than sid', async () => {
    const options = { tokensHoldSid: false };
    expect(await revokedBy(logoutToken(), options)).toEqual([{ ...common, kind: 'subject', id: 'user-1' }]);
    const onlySid = logoutForm(logoutToken({ claims: { sub: undefined } }));
    expect(await evaluate(receiver(options), onlySid)).toMatchObject({ reason: 'unknown_subject' });
  });

  it('with the sid ALL revokes the subject, as no session has that id', async () => {
    expect(await revokedBy(logoutToken({ claims: { sid: 'ALL' } }))).toEqual([
      { ...common, kind: 'subject', id: 'user-1' },
    ]);
    const nobody = logoutForm(logoutToken({ claims: { sid: 'ALL', sub: undefined } }));
    expect(await evaluate(receiver(), nobody)).toMatchObject({ reason: 'unknown_subject' });
  });

  it('may be of any accepted type, and for any of the clients', async () => {
    for (const typ of ['logout+jwt', 'application/logout+jwt', 'JWT', undefined])
      expect(await revokedBy(logoutToken({ header: { typ } }))).toHaveLength(1);
    expect(await revokedBy(logoutToken({ claims: { aud: ['other', 'cli'] } }))).toHaveLength(1);
  });

  const idToken = issueToken({
    now: testNow,
    header: { typ: 'JWT' },
    claims: { aud: 'web', nonce: 'n', sid: 'session-1' },
  });

  it.each<[string, DeliveryRefusal, string]>([
    ['a signature by another key', 'bad_signature', logoutToken({ key: { ...strangeKey(), kid: key.kid } })],
    ['an unknown key', 'unknown_key', logoutToken({ key: strangeKey() })],
    ['alg none', 'algorithm_not_allowed', logoutToken({ header: { alg: 'none' } })],
    ['another issuer', 'wrong_issuer', logoutToken({ claims: { iss: 'https://other.test' } })],
    ['another audience', 'wrong_audience', logoutToken({ claims: { aud: 'mobile' } })],
    ['great age', 'too_old', logoutToken({ now: testNow - 306, claims: { exp: testNow + 60 } })],
    ['a date in the future', 'not_yet_valid', logoutToken({ now: testNow + 61 })],
    ['being expired', 'expired', logoutToken({ claims: { exp: testNow - 5 } })],
    ['lacking exp', 'malformed', logoutToken({ claims: { exp: undefined } })],
    ['lacking iat', 'malformed', logoutToken({ claims: { iat: undefined } })],
    ['lacking jti', 'malformed', logoutToken({ claims: { jti: undefined } })],
    ['lacking sid and sub', 'unknown_subject', logoutToken({ claims: { sid: undefined, sub: undefined } })],
    ['a sid that is no text', 'malformed', logoutToken({ claims: { sid: 7 } })],
    ['lacking events', 'wrong_type', logoutToken({ claims: { events: undefined } })],
    ['lacking the logout event', 'wrong_type', logoutToken({ claims: { events: { 'urn:other': {} } } })],
    [
      'a logout event that is no object',
      'wrong_type',
      logoutToken({ claims: { events: { [logoutEvent]: true } } }),
    ],
    [
      'a logout event that is a number larger than a double holds',
      'wrong_type',
      logoutToken({ claims: { events: { [logoutEvent]: JSON.rawJSON('12345678901234567890') } } }),
    ],
    ['a nonce', 'wrong_type', logoutToken({ claims: { nonce: 'n' } })],
    ['being an ID token', 'wrong_type', idToken],
    ['being an access token', 'wrong_type', issueToken({ now: testNow, claims: { aud: 'web' } })],
  ])('is refused for %s', async (_, reason, token) => {
    expect(await evaluate(receiver(), logoutForm(token))).toMatchObject({ kind: 'refused', reason });
  });

  it.each([
    ['none', ''],
    ['another parameter', 'token=abc'],
    ['two of them', `${logoutForm(logoutToken())}&${logoutForm(logoutToken())}`],
    ['an encrypted one', logoutForm('a.b.c.d.e')],
    ['one too long', logoutForm(`${'a'.repeat(17_000)}.b.c`)],
  ])('is looked for in the form: %s is refused', async (_, form) => {
    expect(await evaluate(receiver(), form)).toMatchObject({ kind: 'refused', reason: 'malformed' });
  });

  it('is accepted until exp plus the tolerance', async () => {
    const form = logoutForm(logoutToken());
    expect(await evaluate(receiver(), form, {}, nowMs + 124_999)).toMatchObject({ kind: 'accepted' });
    expect(await evaluate(receiver(), form, {}, nowMs + 125_000)).toMatchObject({ reason: 'expired' });
  });

  it('names the claim that is missing', async () => {
    const refused = await evaluate(receiver(), logoutForm(logoutToken({ claims: { exp: undefined } })));
    if (refused.kind !== 'refused') throw new Error(refused.kind);
    expect(refused.detail).toMatchObject({ claim: 'exp', found: 'absent' });
    expect(receiver().refused(refused).body).toContain(': exp');
  });

  it('is answered by §2.8: 200, or 400 with an error, and never cached', () => {
    expect(receiver().accepted).toEqual({ status: 200, headers: { 'cache-control': 'no-store' } });
    const answer = receiver().refused(refuseDelivery('bad_signature'));
    expect(answer).toMatchObject({ status: 400, headers: { 'cache-control': 'no-store' } });
    expect(JSON.parse(answer.body ?? '')).toMatchObject({ error: 'invalid_request' });
  });
});

describe('a logout token without exp, where exp is optional', () => {
  const lenient = receiver({ needsExpiry: false });
  // As Ory Hydra makes it: neither exp nor sub.
  const form = logoutForm(
    logoutToken({ header: { typ: 'JWT' }, claims: { exp: undefined, sub: undefined, aud: ['web'] } }),
  );

  it('ends the session', async () => {
    expect(await evaluate(lenient, form)).toMatchObject({
      kind: 'accepted',
      requests: [{ ...common, kind: 'session', id: 'session-1' }],
    });
  });

  it('is checked by its iat, and its id is kept for as long as it would be accepted', async () => {
    const accepted = await evaluate(lenient, form);
    expect(accepted.kind).toBe('accepted');
    const untilMs = accepted.kind === 'accepted' ? accepted.duplicatesUntilMs : 0;
    expect(await evaluate(lenient, form, {}, nowMs + 305_000)).toMatchObject({ kind: 'accepted' });
    expect(await evaluate(lenient, form, {}, nowMs + 305_001)).toMatchObject({ reason: 'too_old' });
    expect(untilMs).toBeGreaterThanOrEqual(nowMs + 305_000);
  });

  it('has its id kept longer if the sender’s clock is ahead', async () => {
    const ahead = logoutForm(logoutToken({ now: testNow + 60, claims: { exp: undefined } }));
    const accepted = await evaluate(lenient, ahead);
    expect(accepted.kind).toBe('accepted');
    const untilMs = accepted.kind === 'accepted' ? accepted.duplicatesUntilMs : 0;
    for (let ms = nowMs; ms < untilMs + 60_000; ms += 1000) {
      const isForgotten = ms > untilMs;
      expect(isForgotten && (await evaluate(lenient, ahead, {}, ms)).kind === 'accepted').toBe(false);
    }
  });

  it.each<[string, DeliveryRefusal, Record<string, unknown>]>([
    ['an exp that has passed', 'expired', { exp: testNow - 5 }],
    ['an exp that is no number', 'malformed', { exp: `${testNow + 60}` }],
    ['an exp that is null', 'malformed', { exp: null }],
    ['no jti', 'malformed', { exp: undefined, jti: undefined }],
    ['no iat', 'malformed', { exp: undefined, iat: undefined }],
    ['a nonce', 'wrong_type', { exp: undefined, nonce: 'n' }],
  ])('is refused all the same for %s', async (_, reason, claims) => {
    expect(await evaluate(lenient, logoutForm(logoutToken({ claims })))).toMatchObject({
      kind: 'refused',
      reason,
    });
  });
});
