import { describe, expect, it } from 'vitest';
import { createSetPush, type SetPushOptions } from '../../src/receivers/set-push.ts';
import { refuseDelivery, type DeliveryRefusal } from '../../src/receivers/receiver.ts';
import { testIssuer, testKey, testNow, signCompact } from '../token/tokens.ts';
import {
  evaluate,
  keySetOf,
  nowMs,
  relayAudience,
  securityEventToken,
  sessionRevoked,
  strangeKey,
} from './senders.ts';

const key = testKey();

const receiver = (options: Partial<SetPushOptions> = {}) =>
  createSetPush({
    path: '/events',
    issuer: testIssuer,
    sender: testIssuer,
    audiences: [relayAudience],
    algorithms: ['RS256'],
    keySet: keySetOf(key),
    maxAgeMs: 300_000,
    clockToleranceMs: 5000,
    credentialChange: false,
    trustSessionIds: false,
    ...options,
  });

const accepted = async (token: string, options: Partial<SetPushOptions> = {}) => {
  const evaluated = await evaluate(receiver(options), token);
  if (evaluated.kind !== 'accepted') throw new Error(JSON.stringify(evaluated));
  return evaluated;
};

const at = testNow - 2;
const risc = (name: string) => `https://schemas.openid.net/secevent/risc/event-type/${name}`;
const caep = (name: string) => `https://schemas.openid.net/secevent/caep/event-type/${name}`;
const ofUser = (reason: string, upTo = at) => ({
  iss: testIssuer,
  kind: 'subject',
  id: 'user-1',
  at: upTo,
  reason,
});

describe('a pushed Security Event Token', () => {
  it('revokes the subject of a session-revoked event up to its event_timestamp', async () => {
    const { requests } = await accepted(securityEventToken());
    expect(requests).toEqual([ofUser('session-revoked')]);
  });

  it.each([
    [risc('account-disabled'), testNow],
    [risc('account-purged'), testNow],
    [risc('credential-compromise'), testNow],
    [risc('sessions-revoked'), at],
  ])('revokes the account for %s', async (uri, upTo) => {
    const { requests } = await accepted(
      securityEventToken({ claims: { events: { [uri]: { event_timestamp: at } } } }),
    );
    expect(requests).toEqual([ofUser(uri.slice(uri.lastIndexOf('/') + 1), upTo)]);
  });

  it('revokes for credential-change only if configured, and never for an added credential', async () => {
    const change = (change_type: string) =>
      securityEventToken({
        claims: {
          events: {
            [caep('credential-change')]: { event_timestamp: at, credential_type: 'password', change_type },
          },
        },
      });
    expect(await evaluate(receiver(), change('update'))).toMatchObject({ kind: 'ignored' });
    const eager = { credentialChange: true };
    for (const type of ['update', 'revoke', 'delete'])
      expect((await accepted(change(type), eager)).requests).toEqual([ofUser('credential-change', testNow)]);
    expect(await evaluate(receiver(eager), change('create'))).toMatchObject({ kind: 'ignored' });
  });

  it('acknowledges events that end no session, such as the verification of the stream', async () => {
    const verification = 'https://schemas.openid.net/secevent/ssf/event-type/verification';
    for (const uri of [
      verification,
      risc('account-enabled'),
      caep('device-compliance-change'),
      'urn:new:kind',
    ]) {
      const token = securityEventToken({
        claims: { sub_id: { format: 'opaque', id: 'stream-1' }, events: { [uri]: { state: 'abc' } } },
      });
      expect(await evaluate(receiver(), token)).toMatchObject({ kind: 'ignored' });
    }
  });

  it('finds the subject in the event, in sub_id or in sub', async () => {
    const user = (sub: string) => ({ format: 'iss_sub', iss: testIssuer, sub });
    const idOf = async (claims: Record<string, unknown>) =>
      (await accepted(securityEventToken({ claims }))).requests[0]?.id;
    const within = { events: { [sessionRevoked]: { subject: user('in-event') } } };
    expect(await idOf(within)).toBe('in-event');
    expect(await idOf({ sub_id: user('in-claim') })).toBe('in-claim');
    expect(await idOf({ sub_id: undefined, sub: 'as-sub' })).toBe('as-sub');
  });

  it('makes each revocation once, even if several events name it', async () => {
    const events = { [sessionRevoked]: {}, [risc('account-disabled')]: {}, [risc('account-enabled')]: {} };
    expect((await accepted(securityEventToken({ claims: { events } }))).requests).toHaveLength(1);
  });

  it('may have a sender with another name, which may use its own name or the issuer’s in subjects', async () => {
    const sender = 'https://transmitter.test';
    for (const iss of [sender, testIssuer]) {
      const token = securityEventToken({
        claims: { iss: sender, sub_id: { format: 'iss_sub', iss, sub: 'user-1' } },
      });
      expect((await accepted(token, { sender })).requests).toEqual([ofUser('session-revoked')]);
    }
    expect(await evaluate(receiver({ sender }), securityEventToken())).toMatchObject({
      reason: 'wrong_issuer',
    });
  });

  it.each<[string, DeliveryRefusal, string]>([
    [
      'a signature by another key',
      'bad_signature',
      securityEventToken({ key: { ...strangeKey(), kid: key.kid } }),
    ],
    ['an unknown key', 'unknown_key', securityEventToken({ key: strangeKey() })],
    ['another issuer', 'wrong_issuer', securityEventToken({ claims: { iss: 'https://other.test' } })],
    ['an issuer but for a slash', 'wrong_issuer', securityEventToken({ claims: { iss: `${testIssuer}/` } })],
    ['another audience', 'wrong_audience', securityEventToken({ claims: { aud: ['https://other.test'] } })],
    ['no audience', 'wrong_audience', securityEventToken({ claims: { aud: undefined } })],
    ['great age', 'too_old', securityEventToken({ now: testNow - 306 })],
    ['a date in the future', 'not_yet_valid', securityEventToken({ now: testNow + 61 })],
    ['no date', 'malformed', securityEventToken({ claims: { iat: undefined } })],
    ['a date in milliseconds', 'malformed', securityEventToken({ claims: { iat: nowMs } })],
    ['an expiry in the past', 'expired', securityEventToken({ claims: { exp: testNow - 5 } })],
    ['no jti', 'malformed', securityEventToken({ claims: { jti: undefined } })],
    ['the type of an access token', 'wrong_type', securityEventToken({ header: { typ: 'at+jwt' } })],
    ['no type', 'wrong_type', securityEventToken({ header: { typ: undefined } })],
    ['a key of its own in the header', 'malformed', securityEventToken({ header: { jwk: key.jwk } })],
    ['another algorithm', 'algorithm_not_allowed', securityEventToken({ key: testKey('ES256') })],
    ['alg none', 'algorithm_not_allowed', securityEventToken({ header: { alg: 'none' } })],
    ['no events', 'malformed', securityEventToken({ claims: { events: {} } })],
    ['events that are a list', 'malformed', securityEventToken({ claims: { events: [sessionRevoked] } })],
    [
      'an event that is no object',
      'malformed',
      securityEventToken({ claims: { events: { [sessionRevoked]: 1 } } }),
    ],
    [
      'an e-mail address as subject',
      'unknown_subject',
      securityEventToken({ claims: { sub_id: { format: 'email', email: 'a@b.test' } } }),
    ],
    ['no subject', 'unknown_subject', securityEventToken({ claims: { sub_id: undefined } })],
    [
      "another issuer's subject",
      'unknown_subject',
      securityEventToken({
        claims: { sub_id: { format: 'iss_sub', iss: 'https://other.test', sub: 'user-1' } },
      }),
    ],
    ['no JWT at all', 'malformed', 'hello'],
    [
      'a member twice',
      'malformed',
      signCompact('{"alg":"RS256","typ":"secevent+jwt"}', '{"iss":"a","iss":"b"}', key),
    ],
  ])('is refused for %s', async (_, reason, token) => {
    expect(await evaluate(receiver(), token)).toMatchObject({ kind: 'refused', reason });
  });

  it('is refused with 503 while keys are not available', async () => {
    const keySet = { ...keySetOf(key), find: () => ({ kind: 'unavailable' as const }) };
    const refused = await evaluate(receiver({ keySet }), securityEventToken());
    expect(refused).toMatchObject({ reason: 'keys_unavailable' });
    expect(receiver().refused(refuseDelivery('keys_unavailable')).status).toBe(503);
  });

  it('waits for newer keys if the key is unknown, and is accepted once they arrive', async () => {
    const late = strangeKey();
    let keys = keySetOf(key);
    const keySet = {
      ...keys,
      find: (...args: Parameters<typeof keys.find>) => keys.find(...args),
      vouchesFor: (...args: Parameters<typeof keys.vouchesFor>) => keys.vouchesFor(...args),
      findNewer: async (...[kid, algorithm]: Parameters<typeof keys.findNewer>) => {
        keys = keySetOf(key, late);
        return keys.find(kid, algorithm);
      },
    };
    expect(await evaluate(receiver({ keySet }), securityEventToken({ key: late }))).toMatchObject({
      kind: 'accepted',
    });
  });

  it('is refused when its key is withdrawn while it is verified', async () => {
    const keySet = { ...keySetOf(key), vouchesFor: () => false };
    expect(await evaluate(receiver({ keySet }), securityEventToken())).toMatchObject({
      reason: 'unknown_key',
    });
  });

  it('has its id kept until the token is too old, at any moment', async () => {
    const token = securityEventToken();
    const { duplicatesUntilMs } = await accepted(token);
    for (let ms = nowMs; ms < duplicatesUntilMs + 60_000; ms += 1000) {
      const isForgotten = ms > duplicatesUntilMs;
      const isAccepted = (await evaluate(receiver(), token, {}, ms)).kind === 'accepted';
      expect(isForgotten && isAccepted).toBe(false);
    }
  });

  it.each<[DeliveryRefusal, number, string]>([
    ['malformed', 400, 'invalid_request'],
    ['unknown_subject', 400, 'invalid_request'],
    ['bad_signature', 400, 'invalid_key'],
    ['unknown_key', 400, 'invalid_key'],
    ['wrong_issuer', 400, 'invalid_issuer'],
    ['wrong_audience', 400, 'invalid_audience'],
    ['unauthenticated', 401, 'authentication_failed'],
  ])('is answered by RFC 8935 §2.3 when %s', (reason, status, err) => {
    const answer = receiver().refused(refuseDelivery(reason));
    expect(answer).toMatchObject({
      status,
      headers: { 'content-type': 'application/json', 'content-language': 'en' },
    });
    const body = JSON.parse(answer.body ?? '') as Record<string, unknown>;
    expect(body['err']).toBe(err);
    expect(body['description']).toEqual(expect.any(String));
  });

  it('is answered with the member of the subject that could not be read', async () => {
    const user = { format: 'email', email: 'someone@mail.test' };
    const token = securityEventToken({ claims: { sub_id: { format: 'complex', user } } });
    const refused = await evaluate(receiver(), token);
    const { body = '' } = refused.kind === 'refused' ? receiver().refused(refused) : {};
    expect(JSON.parse(body)).toEqual({
      err: 'invalid_request',
      description: 'the subject names nothing that can be revoked: sub_id.user',
    });
  });
});
