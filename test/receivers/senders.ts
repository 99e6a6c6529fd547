import { createHash, createHmac, randomUUID } from 'node:crypto';
import { parseJwkSet } from '../../src/token/jwk-set.ts';
import type { KeySet } from '../../src/token/key-set.ts';
import { createFixedKeySet } from '../token/fixed-key-set.ts';
import { defaultAlgorithms } from '../../src/vocabulary/algorithms.ts';
import type { Allowance } from '../../src/receivers/delivery-limits.ts';
import type { Delivery, Evaluation, Receiver } from '../../src/receivers/receiver.ts';
import {
  issueToken,
  jwkSetOf,
  testIssuer,
  testKey,
  testNow,
  type TestKey,
  type TokenOverrides,
} from '../token/tokens.ts';

// Notices of identity providers, and a function that delivers them to a receiver.

export const relayAudience = 'https://relay.test';
export const nowMs = testNow * 1000;

export const keySetOf = (...keys: readonly TestKey[]): KeySet =>
  createFixedKeySet(parseJwkSet(jwkSetOf(...keys), defaultAlgorithms).keys);

type JwtOverrides = {
  readonly key?: TestKey;
  readonly secret?: NonNullable<TokenOverrides['secret']>;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Default: `testNow`. */
  readonly now?: number;
};

const withoutAccessTokenClaims = {
  exp: undefined,
  client_id: undefined,
  scope: undefined,
  grant_id: undefined,
  sub: undefined,
};

const caep = 'https://schemas.openid.net/secevent/caep/event-type/';
export const sessionRevoked = `${caep}session-revoked`;

/** A Security Event Token as CAEP 1.0 shows it. */
export const securityEventToken = ({ header, claims, now = testNow, ...rest }: JwtOverrides = {}): string =>
  issueToken({
    ...rest,
    now,
    header: { typ: 'secevent+jwt', ...header },
    claims: {
      ...withoutAccessTokenClaims,
      aud: relayAudience,
      jti: randomUUID(),
      txn: '8675309',
      sub_id: { format: 'iss_sub', iss: testIssuer, sub: 'user-1' },
      events: { [sessionRevoked]: { event_timestamp: now - 2 } },
      ...claims,
    },
  });

export const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout';

/** A logout token in the form of Keycloak. */
export const logoutToken = ({ header, claims, now = testNow, ...rest }: JwtOverrides = {}): string =>
  issueToken({
    ...rest,
    now,
    header: { typ: 'JWT', ...header },
    claims: {
      ...withoutAccessTokenClaims,
      exp: now + 120,
      aud: 'web',
      jti: randomUUID(),
      sub: 'user-1',
      sid: 'session-1',
      typ: 'Logout',
      events: { [logoutEvent]: {}, revoke_offline_access: true },
      ...claims,
    },
  });

export const logoutForm = (token: string): string => new URLSearchParams({ logout_token: token }).toString();

/** A webhook event of FusionAuth in its documented form. */
export function fusionAuthEvent(event: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    event: {
      applicationId: '21a8893c-51b3-4964-8a50-6afb66ee8acd',
      applicationTimeToLiveInSeconds: { '21a8893c-51b3-4964-8a50-6afb66ee8acd': 600 },
      createInstant: nowMs,
      id: randomUUID(),
      info: { ipAddress: '42.42.42.42', location: { city: 'Denver', country: 'US' } },
      refreshToken: {
        applicationId: '21a8893c-51b3-4964-8a50-6afb66ee8acd',
        id: 'session-1',
        insertInstant: nowMs - 60_000,
        metaData: { device: { name: 'a phone', type: 'MOBILE' }, scopes: ['offline_access'] },
        startInstant: nowMs - 60_000,
        token: 'xRxGGEpVawiUak6He367W3oeOfh+3irw+1G1h1jc',
        userId: 'user-1',
      },
      tenantId: 'e872a880-b14f-6d62-c312-cb40f22af465',
      type: 'jwt.refresh-token.revoke',
      userId: 'user-1',
      user: { active: true, email: 'example@fusionauth.io', id: 'user-1', verified: true },
      ...event,
    },
  });
}

/** The header with which FusionAuth signs a body. It has no date and no issuer. */
export const fusionAuthSignature = (body: string, overrides: Omit<JwtOverrides, 'now'> = {}): string =>
  issueToken({
    ...overrides,
    header: { typ: 'JWT', ...overrides.header },
    claims: {
      ...withoutAccessTokenClaims,
      iss: undefined,
      aud: undefined,
      iat: undefined,
      jti: undefined,
      request_body_sha256: createHash('sha256').update(body).digest('base64'),
      ...overrides.claims,
    },
  });

export const webhookSecret = Buffer.from(Array.from({ length: 24 }, (_, index) => index + 1));
export const webhookSecretText = `whsec_${webhookSecret.toString('base64')}`;

/** Headers in the form of a Standard Webhooks library. */
export function webhookHeaders(
  body: string | Buffer,
  overrides: { readonly id?: string; readonly timestamp?: number; readonly secret?: Buffer } = {},
): Record<string, string> {
  const { id = randomUUID(), timestamp = testNow, secret = webhookSecret } = overrides;
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest('base64');
  return {
    'webhook-id': id,
    'webhook-timestamp': `${timestamp}`,
    'webhook-signature': `v1,${signature}`,
  };
}

/** An allowance without limits. */
const unlimited: Allowance = {
  verify: async (work) => await work(),
  hold: (wait) => wait(new AbortController().signal),
};

export const delivery = (
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
): Delivery => ({
  body: Buffer.from(body),
  header: (name) => headers[name],
  allowance: unlimited,
});

export const evaluate = async (
  receiver: Receiver,
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
  atMs = nowMs,
): Promise<Evaluation> => await receiver.evaluate(delivery(body, headers), atMs);

/** A key that the receiver doesn't know. */
export const strangeKey = (): TestKey => testKey('RS256', 'strange');
