import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startAuthorizer, untilReady, type AuthorizerProgram } from '../authorizer/authorizer-program.ts';
import { startEchoService, type Echo, type EchoService } from '../envoy/echo-service.ts';
import { startEnvoy, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { neverPrinted } from '../output.ts';
import { eventually } from '../processes.ts';
import { logoutEvent, logoutForm } from '../receivers/senders.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { issueToken, jwkSetOf, testKey } from '../token/tokens.ts';
import {
  listenedUntilNow,
  relayFolder,
  startRelayProgram,
  untilLeading,
  type RelayFolder,
} from './relay-server.ts';

// A foreign issuer as Keycloak is one: its keys, its access tokens, its back-channel logout. All else is
// real: Envoy, the authorizer with the preset, the relay, Redis.

const issuer = 'https://keycloak.example/realms/shop';
const signing = testKey('RS256', 'keycloak-signing');
/** Keycloak lists its encryption key in the same set. */
const encryption = testKey('RS256', 'keycloak-encryption');
const jwkSet = JSON.stringify({
  keys: [
    ...(JSON.parse(jwkSetOf(signing)) as { keys: object[] }).keys,
    { ...encryption.jwk, use: 'enc', alg: 'RSA-OAEP' },
  ],
});

const seconds = (): number => Math.floor(Date.now() / 1000);

type Login = { readonly user: string; readonly sid: string };

/** An access token as Keycloak 26 documents it. */
function accessToken({ user, sid }: Login, claims: Record<string, unknown> = {}): string {
  const token = issueToken({
    key: signing,
    lifetimeSeconds: 300,
    header: { typ: 'JWT' },
    claims: {
      iss: issuer,
      aud: ['orders', 'account'],
      auth_time: seconds() - 5,
      jti: `onrtac:${randomUUID()}`,
      sub: user,
      typ: 'Bearer',
      azp: 'web',
      sid,
      acr: '1',
      'allowed-origins': ['https://shop.example'],
      realm_access: { roles: ['offline_access', 'uma_authorization'] },
      resource_access: { account: { roles: ['manage-account', 'view-profile'] } },
      scope: 'openid email profile',
      email_verified: true,
      preferred_username: 'ada',
      client_id: undefined,
      grant_id: undefined,
      ...claims,
    },
  });
  neverPrinted(token);
  return token;
}

/** What Keycloak posts to a client's back-channel logout URL. */
function logoutRequest(login: Login, claims: Record<string, unknown> = {}, key = signing): string {
  const token = issueToken({
    key,
    lifetimeSeconds: 120,
    header: { typ: 'JWT' },
    claims: {
      iss: issuer,
      aud: 'web',
      sub: login.user,
      sid: login.sid,
      jti: randomUUID(),
      typ: 'Logout',
      events: { [logoutEvent]: {} },
      client_id: undefined,
      scope: undefined,
      grant_id: undefined,
      ...claims,
    },
  });
  neverPrinted(token);
  return logoutForm(token);
}

let folder: string;
let place: RelayFolder;
let redis: RedisServer;
let echo: EchoService;
let authorizer: AuthorizerProgram;
let relay: Awaited<ReturnType<typeof startRelayProgram>>;
let envoy: RunningEnvoy;
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'curfew-keycloak-'));
  const file = join(folder, 'keycloak-jwks.json');
  writeFileSync(file, jwkSet);
  [redis, echo] = await Promise.all([startRedis(), startEchoService()]);
  stops.push(redis.stop, echo.stop);
  place = await relayFolder({
    redis: { url: redis.url },
    issuers: [{ issuer, preset: 'keycloak', jwks: { file } }],
    receivers: [
      {
        kind: 'backchannel-logout',
        path: '/backchannel-logout',
        issuer,
        audience: ['web', 'mobile'],
        redelivery: '1m',
      },
    ],
  });
  await listenedUntilNow(place, [issuer]);
  relay = await startRelayProgram(place);
  stops.push(() => relay.program.stop());
  authorizer = await startAuthorizer(folder, {
    issuers: [{ issuer, preset: 'keycloak', audiences: ['orders'], jwks: { file } }],
    revocation: { redis: { url: redis.url }, maxExposure: '10s', waitForSync: '10s' },
    upstream: { headers: { 'x-auth-subject': 'sub', 'x-auth-session': 'sid' } },
  });
  stops.push(authorizer.stop);
  await Promise.all([untilLeading(relay), untilReady(authorizer)]);
  envoy = await startEnvoy({
    authorizer: authorizer.address,
    sources: [{ header: 'authorization' }],
    services: [
      {
        name: 'orders',
        listen: { host: '127.0.0.1', port: 0 },
        upstream: { host: '127.0.0.1', port: echo.port, protocol: 'http1' },
      },
    ],
  });
  stops.push(envoy.stop);
});
afterAll(async () => {
  for (const stop of stops.toReversed()) await stop();
  for (const used of [folder, place.folder]) rmSync(used, { recursive: true, force: true });
});

async function order(token: string): Promise<{ status: number; challenge: string; body: unknown }> {
  const response = await fetch(`${envoy.url('orders')}/orders`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const challenge = response.headers.get('www-authenticate') ?? '';
  return { status: response.status, challenge, body: await response.json() };
}

const form = { 'content-type': 'application/x-www-form-urlencoded' };

describe('behind Keycloak', () => {
  const desk: Login = { user: '00000000-0000-4000-8000-00000000ada1', sid: 'desk-session' };
  const phone: Login = { ...desk, sid: 'phone-session' };

  it("a user's token is allowed, and the service gets its subject", async () => {
    const { status, body } = await order(accessToken(desk));
    expect(status).toBe(200);
    expect((body as Echo).headers).toMatchObject({ 'x-auth-subject': desk.user, 'x-auth-session': desk.sid });
  });

  it('the logout of one session ends it within the second, and no other', async () => {
    const tokens = { desk: accessToken(desk), phone: accessToken(phone) };
    expect([(await order(tokens.desk)).status, (await order(tokens.phone)).status]).toEqual([200, 200]);

    const request = logoutRequest(desk);
    const answer = await relay.post('/backchannel-logout', request, form);
    const answeredAt = performance.now();
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
    const refused = await eventually('the token is refused', async () => {
      const found = await order(tokens.desk);
      return found.status === 401 ? found : undefined;
    });
    console.log(
      `back-channel logout answered, refused by Envoy after ${Math.round(performance.now() - answeredAt)} ms`,
    );
    expect(refused.challenge).toContain('error="invalid_token"');
    expect((await order(accessToken(desk))).status).toBe(401);
    expect((await order(tokens.phone)).status).toBe(200);

    expect((await relay.post('/backchannel-logout', request, form)).status).toBe(200);
  });

  it('a new login is allowed at once', async () => {
    expect((await order(accessToken({ ...desk, sid: 'desk-session-2' }))).status).toBe(200);
  });

  it('the logout of the account, without sid, ends all of its sessions up to then', async () => {
    const token = accessToken({ user: 'user-everywhere', sid: 'a-session' });
    expect((await order(token)).status).toBe(200);
    const login = { user: 'user-everywhere', sid: 'unused' };
    await relay.post('/backchannel-logout', logoutRequest(login, { sid: undefined, aud: 'mobile' }), form);
    await eventually('refused', async () => ((await order(token)).status === 401 ? true : undefined));
    const later = accessToken(
      { user: 'user-everywhere', sid: 'a-session' },
      { iat: seconds() + 2, exp: seconds() + 300 },
    );
    expect((await order(later)).status).toBe(200);
  });

  it("Keycloak's other tokens and forged logouts have no effect", async () => {
    const login = { user: 'user-safe', sid: 'safe-session' };
    const token = accessToken(login);
    expect((await order(accessToken(login, { typ: 'ID' }))).status).toBe(401);
    expect((await order(accessToken(login, { typ: 'Refresh' }))).status).toBe(401);
    expect((await order(accessToken(login, { sid: undefined }))).status).toBe(401);

    const mallory = { ...testKey('RS256', 'mallory'), kid: signing.kid };
    for (const request of [
      logoutRequest(login, { aud: 'someone-else' }),
      logoutRequest(login, { iss: `${issuer}/` }),
      logoutRequest(login, { nonce: 'n' }),
      logoutForm(accessToken(login)),
      logoutRequest(login, {}, mallory),
    ])
      expect((await relay.post('/backchannel-logout', request, form)).status).toBe(400);
    expect((await order(token)).status).toBe(200);
  });
});
