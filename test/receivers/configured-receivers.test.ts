import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createOutbox, outboxMigrations } from '../../src/publisher/outbox.ts';
import type { OutboxTables } from '../../src/publisher/outbox-tables.ts';
import { configuredReceivers } from '../../src/receivers/configured-receivers.ts';
import type {
  BackchannelLogoutSettings,
  IssuerSettings,
  ReceiverSettings,
  SetPushSettings,
} from '../../src/receivers/receiver-settings.ts';
import { createReceivers, receiverMigrations } from '../../src/receivers/receivers.ts';
import type { ReceiverTables } from '../../src/receivers/store/receiver-tables.ts';
import { migrate, openDatabase } from '../../src/database/database.ts';
import { createOwnerMetrics, Registry } from '../../src/runtime/metrics.ts';
import type { HttpGet } from '../../src/token/http-get.ts';
import { temporaryDirectory } from '../temporary.ts';
import { capturedLog, steppedClock, testMetrics } from '../token/fixtures.ts';
import { jwkSetOf, testIssuer, testKey, testNow } from '../token/tokens.ts';
import { evaluate, logoutForm, logoutToken, relayAudience, securityEventToken } from './senders.ts';

const sender = 'https://transmitter.test';
const setPush: SetPushSettings = {
  kind: 'set-push',
  path: '/events',
  issuer: testIssuer,
  audience: [relayAudience],
  redelivery: 0,
  credentialChange: false,
  trustSessionIds: false,
};
const logout: BackchannelLogoutSettings = {
  kind: 'backchannel-logout',
  path: '/logout',
  issuer: testIssuer,
  audience: ['web'],
  exp: 'required',
  redelivery: 0,
};

/** An issuer whose keys are in a file. */
function issuerWithFile(): IssuerSettings {
  const file = join(temporaryDirectory(), 'jwks.json');
  writeFileSync(file, jwkSetOf(testKey()));
  return { issuer: testIssuer, jwks: { file } };
}

const noServer: HttpGet = () => Promise.resolve({ status: 404, body: '' });

function mounted(receivers: readonly ReceiverSettings[], issuer: IssuerSettings, get: HttpGet = noServer) {
  const made = configuredReceivers({
    receivers,
    issuers: [issuer],
    clockToleranceMs: 5000,
    clock: steppedClock(),
    log: capturedLog().log,
    metrics: testMetrics(),
    get,
  });
  for (const { receiver } of made) onTestFinished(() => receiver.stop());
  return made;
}

async function started(settings: ReceiverSettings, issuer: IssuerSettings, get?: HttpGet) {
  const [made] = mounted([settings], issuer, get);
  await made?.receiver.start();
  if (made === undefined) throw new Error('no receiver');
  return made.receiver;
}

describe('a configured receiver', () => {
  it('verifies with the keys of the issuer if the issuer is the sender', async () => {
    const receiver = await started(setPush, issuerWithFile());
    expect(await evaluate(receiver, securityEventToken())).toMatchObject({ kind: 'accepted' });
  });

  it('finds another sender’s keys by discovery, and never uses the issuer’s', async () => {
    const token = securityEventToken({ claims: { iss: sender } });
    const without = await started({ ...setPush, sender }, issuerWithFile());
    expect(without.isUsable()).toBe(false);
    expect(await evaluate(without, token)).toMatchObject({ reason: 'keys_unavailable' });

    const asked: string[] = [];
    const get: HttpGet = async (url) => {
      asked.push(url);
      const metadata = JSON.stringify({ issuer: sender, jwks_uri: `${sender}/jwks` });
      return { status: 200, body: url.endsWith('/jwks') ? jwkSetOf(testKey()) : metadata };
    };
    const receiver = await started({ ...setPush, sender }, issuerWithFile(), get);
    expect(asked).toEqual([`${sender}/.well-known/openid-configuration`, `${sender}/jwks`]);
    expect(await evaluate(receiver, token)).toMatchObject({ kind: 'accepted' });
  });

  it('accepts a document as old as its sender’s redelivery time plus some minutes', async () => {
    const patient = await started({ ...setPush, redelivery: 3_600_000 }, issuerWithFile());
    const old = (seconds: number) => securityEventToken({ now: testNow - seconds });
    expect(await evaluate(patient, old(3600 + 300))).toMatchObject({ kind: 'accepted' });
    expect(await evaluate(patient, old(3600 + 306))).toMatchObject({ reason: 'too_old' });
    const once = await started(setPush, issuerWithFile());
    expect(await evaluate(once, old(300))).toMatchObject({ kind: 'accepted' });
    expect(await evaluate(once, old(306))).toMatchObject({ reason: 'too_old' });
  });

  it('accepts logout tokens without exp only if configured', async () => {
    const form = logoutForm(logoutToken({ claims: { exp: undefined } }));
    const strict = await started(logout, issuerWithFile());
    expect(await evaluate(strict, form)).toMatchObject({ reason: 'malformed', detail: { claim: 'exp' } });
    const lenient = await started({ ...logout, exp: 'optional' }, issuerWithFile());
    expect(await evaluate(lenient, form)).toMatchObject({ kind: 'accepted' });
  });

  it.each<[string, Partial<IssuerSettings>, boolean | undefined, 'session' | 'subject']>([
    ['no preset', {}, undefined, 'session'],
    ['keycloak', { preset: 'keycloak' }, undefined, 'session'],
    ['cognito, whose session claim is another', { preset: 'cognito' }, undefined, 'subject'],
    [
      'a session claim of another name',
      { preset: 'auth0', sessionClaim: 'https://a.test/sid' },
      undefined,
      'subject',
    ],
    [
      'one that holds sid all the same',
      { preset: 'auth0', sessionClaim: 'https://a.test/sid' },
      true,
      'session',
    ],
    ['one that is said not to', { preset: 'keycloak' }, false, 'subject'],
  ])('for %s takes sid for what it is', async (_, issuer, tokensHoldSid, kind) => {
    const receiver = await started({ ...logout, tokensHoldSid }, { ...issuerWithFile(), ...issuer });
    expect(await evaluate(receiver, logoutForm(logoutToken()))).toMatchObject({ requests: [{ kind }] });
  });
});

describe('two receivers of one issuer', () => {
  async function afterAbsence(seconds: number, keys: 'both' | 'one'): Promise<number> {
    const database = openDatabase({ sqlite: ':memory:' });
    onTestFinished(() => database.close());
    await migrate(database, [outboxMigrations, receiverMigrations]);
    const issuer = issuerWithFile();
    const outbox = createOutbox({
      database,
      issuers: [{ issuer: testIssuer, clock: 'foreign' }],
      clockToleranceMs: 5000,
    });
    const start = async (get: HttpGet) => {
      const receivers = createReceivers({
        receivers: mounted(
          [
            { ...logout, redelivery: 60_000 },
            { ...setPush, sender, redelivery: 3_600_000 },
          ],
          issuer,
          get,
        ),
        database,
        outbox,
        clientAddress: () => 'here',
        isBehindProxies: false,
        clock: steppedClock(),
        log: capturedLog().log,
        metrics: createOwnerMetrics(new Registry()),
      });
      await receivers.start();
      await receivers.stop();
    };
    const withKeys: HttpGet = async (url) => ({
      status: 200,
      body: url.endsWith('/jwks')
        ? jwkSetOf(testKey())
        : JSON.stringify({ issuer: sender, jwks_uri: `${sender}/jwks` }),
    });
    await start(withKeys);
    const tables = database.db.$extendTables<OutboxTables & ReceiverTables>();
    await tables.deleteFrom('revocation_outbox').execute();
    await tables
      .updateTable('receiver_presence')
      .set((row) => ({ seen_at_ms: row('seen_at_ms', '-', seconds * 1000) }))
      .execute();
    await start(keys === 'both' ? withKeys : noServer);
    return (await tables.selectFrom('revocation_outbox').select('id').execute()).length;
  }

  it('may be down for the shorter of their redelivery times', async () => {
    expect(await afterAbsence(50, 'both')).toBe(0);
    expect(await afterAbsence(70, 'both')).toBe(1);
  });

  it('count as listening only while both can verify', async () => {
    expect(await afterAbsence(70, 'one')).toBe(0);
  });
});

describe('a connection that was closed to make room', () => {
  function receiving() {
    const database = openDatabase({ sqlite: ':memory:' });
    onTestFinished(() => database.close());
    const metrics = createOwnerMetrics(new Registry());
    const receivers = createReceivers({
      receivers: mounted([{ ...logout, redelivery: 0 }], issuerWithFile()),
      database,
      outbox: createOutbox({ database, issuers: [], clockToleranceMs: 5000 }),
      clientAddress: () => 'here',
      isBehindProxies: false,
      clock: steppedClock(),
      log: capturedLog().log,
      metrics,
    });
    const missed = async (): Promise<number> => {
      const { values } = await metrics.noticesMissed.get();
      return values.find(({ labels }) => labels.cause === 'connection')?.value ?? 0;
    };
    return { receivers, missed };
  }

  it('may have been about to deliver a notice, unless it was silent for too long', async () => {
    const { receivers, missed } = receiving();
    receivers.crowdedOut({ address: '192.0.2.1', silentMs: 2000, share: 1 });
    expect(await missed()).toBe(0);
    receivers.crowdedOut({ address: '192.0.2.1', silentMs: 1999, share: 1 });
    expect(await missed()).toBe(1);
  });
});
