import { describe, expect, it, onTestFinished } from 'vitest';
import { createSetPush } from '../../src/receivers/set-push.ts';
import { createStandardWebhook } from '../../src/receivers/webhook.ts';
import type { Evaluation } from '../../src/receivers/receiver.ts';
import { secretFromText } from '../../src/runtime/secret.ts';
import { capturedLog } from '../token/fixtures.ts';
import { testIssuer, testKey } from '../token/tokens.ts';
import {
  judge,
  keySetOf,
  relayAudience,
  securityEventToken,
  webhookHeaders,
  webhookSecretText,
} from './senders.ts';

const long = 'x'.repeat(10_000);
const found = (judged: Evaluation) => (judged.kind === 'refused' ? judged.detail?.found : undefined) ?? '';

describe('what the log shows of a refused delivery', () => {
  it.each(['typ', 'alg', 'kid'])('is bounded for the header parameter %s', async (parameter) => {
    const receiver = createSetPush({
      path: '/events',
      issuer: testIssuer,
      sender: testIssuer,
      audiences: [relayAudience],
      algorithms: ['RS256'],
      keySet: keySetOf(testKey()),
      maxAgeMs: 300_000,
      clockToleranceMs: 5000,
      credentialChange: false,
      trustSessionIds: false,
    });
    const judged = await judge(receiver, securityEventToken({ header: { [parameter]: long } }));
    expect(judged).toMatchObject({ kind: 'refused', detail: { claim: parameter } });
    expect(found(judged).length).toBeLessThan(300);
  });

  it('is bounded for the name of a member that no event has', async () => {
    const receiver = createStandardWebhook({
      path: '/webhook',
      issuers: [testIssuer],
      kinds: ['session'],
      secrets: [secretFromText(webhookSecretText)],
      redeliveryMs: 0,
      clockToleranceMs: 5000,
      log: capturedLog().log,
    });
    await receiver.start();
    onTestFinished(() => receiver.stop());
    const body = JSON.stringify({ events: [{ kind: 'session', id: 'session-1', [long]: 1 }] });
    const judged = await judge(receiver, body, webhookHeaders(body));
    expect(judged).toMatchObject({ kind: 'refused', detail: { claim: 'events' } });
    expect(found(judged).length).toBeLessThan(300);
  });
});
