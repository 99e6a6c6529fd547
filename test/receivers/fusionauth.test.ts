import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createFusionAuth, type FusionAuthOptions } from '../../src/receivers/fusionauth.ts';
import type { DeliveryRefusal } from '../../src/receivers/receiver.ts';
import { createFixedKeySet } from '../token/fixed-key-set.ts';
import { testIssuer, testKey, testNow, testSecret } from '../token/tokens.ts';
import { fusionAuthEvent, fusionAuthSignature, evaluate, keySetOf, nowMs, strangeKey } from './senders.ts';

const key = testKey();
const tenant = 'e872a880-b14f-6d62-c312-cb40f22af465';

const receiver = (options: Partial<FusionAuthOptions> = {}) =>
  createFusionAuth({
    path: '/fusionauth',
    issuer: testIssuer,
    tenant,
    algorithms: ['RS256'],
    keySet: keySetOf(key),
    maxAgeMs: 300_000,
    clockToleranceMs: 5000,
    ...options,
  });

const signed = (body: string, signature = fusionAuthSignature(body)) => ({
  'x-fusionauth-signature-jwt': signature,
});

const evaluated = (event: Readonly<Record<string, unknown>>, options: Partial<FusionAuthOptions> = {}) => {
  const body = fusionAuthEvent(event);
  return evaluate(receiver(options), body, signed(body));
};

const common = { iss: testIssuer, at: testNow, reason: 'refresh-token-revoked' };
const wholeUser = { applicationId: undefined, refreshToken: undefined };

describe("FusionAuth's jwt.refresh-token.revoke", () => {
  it('of one refresh token revokes the session that is its id', async () => {
    expect(await evaluated({})).toMatchObject({
      requests: [{ ...common, kind: 'session', id: 'session-1' }],
    });
  });

  it('of all tokens of a user, in one application or all, revokes the subject', async () => {
    const requests = [{ ...common, kind: 'subject', id: 'user-1' }];
    expect(await evaluated(wholeUser)).toMatchObject({ requests });
    expect(await evaluated({ refreshToken: undefined })).toMatchObject({ requests });
  });

  it('of a whole application revokes all tokens of the issuer so far', async () => {
    const application = { refreshToken: undefined, userId: undefined, user: undefined };
    expect(await evaluated(application)).toMatchObject({ requests: [{ ...common, kind: 'issuer' }] });
  });

  it('finds the user wherever the event names the user', async () => {
    const requests = [{ ...common, kind: 'subject', id: 'user-9' }];
    const nowhere = { ...wholeUser, userId: undefined, user: undefined };
    expect(await evaluated({ ...nowhere, user: { id: 'user-9' } })).toMatchObject({ requests });
    expect(await evaluated({ ...nowhere, refreshToken: { userId: 'user-9' } })).toMatchObject({ requests });
    expect(await evaluated({ ...nowhere, userId: 'user-9', user: { id: 'user-1' } })).toMatchObject({
      requests,
    });
  });

  it('with the session id ALL revokes the user, as no session has that id', async () => {
    const event = { refreshToken: { id: 'ALL' }, applicationId: undefined };
    expect(await evaluated({ ...event, userId: 'user-9' })).toMatchObject({
      requests: [{ ...common, kind: 'subject', id: 'user-9' }],
    });
    expect(await evaluated({ ...event, userId: undefined, user: undefined })).toMatchObject({
      reason: 'unknown_subject',
    });
  });

  it('without a user or application is refused', async () => {
    const nobody = { ...wholeUser, userId: undefined, user: undefined };
    expect(await evaluated(nobody)).toMatchObject({ reason: 'unknown_subject' });
  });
});

describe("FusionAuth's webhook", () => {
  it.each(['user.deactivate', 'user.delete'])('revokes the account for %s', async (type) => {
    expect(await evaluated({ type, ...wholeUser, userId: undefined })).toMatchObject({
      requests: [{ kind: 'subject', id: 'user-1', at: testNow }],
    });
  });

  it('acknowledges other events, and those of other tenants', async () => {
    expect(await evaluated({ type: 'user.login.success' })).toMatchObject({ kind: 'ignored' });
    expect(await evaluated({ tenantId: 'another' })).toMatchObject({ kind: 'ignored' });
    expect(await evaluated({ tenantId: 'another' }, { tenant: undefined })).toMatchObject({
      kind: 'accepted',
    });
  });

  it('compares its tenant without regard to case', async () => {
    expect(await evaluated({ tenantId: tenant.toUpperCase() })).toMatchObject({ kind: 'accepted' });
    expect(await evaluated({}, { tenant: tenant.toUpperCase() })).toMatchObject({ kind: 'accepted' });
  });

  it('is refused if it would end sessions and names no tenant', async () => {
    const unnamed = { tenantId: undefined };
    expect(await evaluated(unnamed)).toMatchObject({
      reason: 'unknown_subject',
      detail: { claim: 'event.tenantId' },
    });
    expect(await evaluated(unnamed, { tenant: undefined })).toMatchObject({ kind: 'accepted' });
    expect(await evaluated({ ...unnamed, type: 'audit-log.create' })).toMatchObject({ kind: 'ignored' });
  });

  it('is accepted with a shared secret too', async () => {
    const secretKey = {
      kid: 'hmac',
      keyId: 'hmac',
      algorithms: ['HS256' as const],
      key: createSecretKey(testSecret),
      thumbprint: 'x',
      names: ['x', 'hmac'],
    };
    const body = fusionAuthEvent();
    const signature = hmacSignature(body);
    const options = { algorithms: ['HS256' as const], keySet: createFixedKeySet([secretKey]) };
    expect(await evaluate(receiver(options), body, signed(body, signature))).toMatchObject({
      kind: 'accepted',
    });
    expect(await evaluate(receiver(), body, signed(body, signature))).toMatchObject({
      reason: 'algorithm_not_allowed',
    });
  });

  it.each<[string, DeliveryRefusal, (body: string) => Record<string, string>]>([
    ['no signature', 'bad_signature', () => ({})],
    [
      'a signature by another key',
      'bad_signature',
      (body) => signed(body, fusionAuthSignature(body, { key: { ...strangeKey(), kid: key.kid } })),
    ],
    [
      'an unknown key',
      'unknown_key',
      (body) => signed(body, fusionAuthSignature(body, { key: strangeKey() })),
    ],
    [
      'the signature of another body',
      'bad_signature',
      (body) => signed(body, fusionAuthSignature(`${body} `)),
    ],
    [
      'a JWT without the hash',
      'bad_signature',
      (body) => signed(body, fusionAuthSignature(body, { claims: { request_body_sha256: undefined } })),
    ],
    [
      'an access token as signature',
      'wrong_type',
      (body) => signed(body, fusionAuthSignature(body, { header: { typ: 'at+jwt' } })),
    ],
  ])('is refused for %s', async (_, reason, headers) => {
    const body = fusionAuthEvent();
    expect(await evaluate(receiver(), body, headers(body))).toMatchObject({ kind: 'refused', reason });
  });

  it.each<[string, DeliveryRefusal, Record<string, unknown>]>([
    ['too old', 'too_old', { createInstant: nowMs - 306_000 }],
    ['from the future', 'not_yet_valid', { createInstant: nowMs + 61_000 }],
    ['without a date', 'malformed', { createInstant: undefined }],
    ['without an id', 'malformed', { id: undefined }],
    ['without a type', 'malformed', { type: undefined }],
  ])('is refused when %s', async (_, reason, event) => {
    expect(await evaluated(event)).toMatchObject({ kind: 'refused', reason });
  });

  it('is refused if it has a valid signature but is not JSON', async () => {
    for (const body of ['', 'hello', '[]', '{"event":1}', '{"event":{},"event":{}}'])
      expect(await evaluate(receiver(), body, signed(body))).toMatchObject({ reason: 'malformed' });
  });
});

const hmacSignature = (body: string): string =>
  fusionAuthSignature(body, { secret: { bytes: testSecret, algorithm: 'HS256', kid: 'hmac' } });
