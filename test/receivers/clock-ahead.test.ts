import { describe, expect, it, onTestFinished } from 'vitest';
import { createBackchannelLogout } from '../../src/receivers/backchannel-logout.ts';
import { createFusionAuth } from '../../src/receivers/fusionauth.ts';
import type { Evaluation, Receiver } from '../../src/receivers/receiver.ts';
import { createSetPush } from '../../src/receivers/set-push.ts';
import { createStandardWebhook } from '../../src/receivers/webhook.ts';
import { secretFromText } from '../../src/runtime/secret.ts';
import { capturedLog } from '../token/fixtures.ts';
import { testIssuer, testKey, testNow } from '../token/tokens.ts';
import {
  fusionAuthEvent,
  fusionAuthSignature,
  evaluate,
  keySetOf,
  logoutForm,
  logoutToken,
  nowMs,
  relayAudience,
  securityEventToken,
  webhookHeaders,
  webhookSecretText,
} from './senders.ts';

const shared = {
  path: '/receiver',
  issuer: testIssuer,
  algorithms: ['RS256' as const],
  keySet: keySetOf(testKey()),
  maxAgeMs: 300_000,
  clockToleranceMs: 5000,
};

async function webhook(): Promise<Receiver> {
  const receiver = createStandardWebhook({
    path: '/webhook',
    issuers: [testIssuer],
    kinds: ['subject'],
    secrets: [secretFromText(webhookSecretText)],
    redeliveryMs: 0,
    clockToleranceMs: 5000,
    log: capturedLog().log,
  });
  await receiver.start();
  onTestFinished(() => receiver.stop());
  return receiver;
}

/** One notice of each kind about a user, made by a clock that is ahead by so many seconds. */
const notices: Record<string, (ahead: number) => Promise<Evaluation>> = {
  'a logout token': async (ahead) => {
    const receiver = createBackchannelLogout({
      ...shared,
      audiences: ['web'],
      tokensHoldSid: true,
      needsExpiry: true,
    });
    const token = logoutToken({ now: testNow + ahead, claims: { sid: undefined } });
    return await evaluate(receiver, logoutForm(token));
  },
  'a security event token': async (ahead) => {
    const receiver = createSetPush({
      ...shared,
      sender: testIssuer,
      audiences: [relayAudience],
      credentialChange: false,
      trustSessionIds: false,
    });
    const now = testNow + ahead;
    const event = 'https://schemas.openid.net/secevent/risc/event-type/account-disabled';
    const claims = { events: { [event]: { event_timestamp: now } } };
    return await evaluate(receiver, securityEventToken({ now, claims }));
  },
  "FusionAuth's webhook": async (ahead) => {
    const user = { refreshToken: undefined, applicationId: undefined };
    const body = fusionAuthEvent({ ...user, createInstant: nowMs + ahead * 1000 });
    const headers = { 'x-fusionauth-signature-jwt': fusionAuthSignature(body) };
    return await evaluate(createFusionAuth({ ...shared, tenant: undefined }), body, headers);
  },
  'a signed webhook': async (ahead) => {
    const body = JSON.stringify({ events: [{ kind: 'subject', id: 'user-1', at: testNow + ahead }] });
    return await evaluate(await webhook(), body, webhookHeaders(body, { timestamp: testNow + ahead }));
  },
};

const cutOff = (evaluated: Evaluation) =>
  evaluated.kind === 'accepted' ? evaluated.requests[0]?.at : evaluated;

describe.each(Object.entries(notices))('%s whose sender’s clock is ahead', (name, notice) => {
  it('is accepted up to a minute ahead', async () => {
    for (const ahead of [0, 3, 6, 60])
      expect(await notice(ahead)).toMatchObject({ kind: 'accepted', requests: [{ id: 'user-1' }] });
  });

  it('has no cut-off later than an issuer’s clock may show', async () => {
    expect(cutOff(await notice(3))).toBe(testNow + 3);
    expect(cutOff(await notice(6))).toBe(testNow + 5);
    expect(cutOff(await notice(60))).toBe(testNow + 5);
  });

  it('is refused further ahead', async () => {
    // Standard Webhooks allow five minutes in both directions.
    const tooFar = name === 'a signed webhook' ? 301 : 61;
    expect(await notice(tooFar)).toMatchObject({ kind: 'refused', reason: 'not_yet_valid' });
  });
});
