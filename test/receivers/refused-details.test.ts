import { describe, expect, it, onTestFinished } from 'vitest';
import { createSetPush } from '../../src/receivers/set-push.ts';
import { createStandardWebhook } from '../../src/receivers/webhook.ts';
import type { Evaluation } from '../../src/receivers/receiver.ts';
import { secretFromText } from '../../src/runtime/secret.ts';
import { capturedLog } from '../token/fixtures.ts';
import { testIssuer, testKey } from '../token/tokens.ts';
import {
  evaluate,
  keySetOf,
  relayAudience,
  securityEventToken,
  webhookHeaders,
  webhookSecretText,
} from './senders.ts';

const long = 'x'.repeat(10_000);
const found = (evaluated: Evaluation) =>
  (evaluated.kind === 'refused' ? evaluated.detail?.found : undefined) ?? '';

describe('the log of a refused delivery', () => {
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
    const evaluated = await evaluate(receiver, securityEventToken({ header: { [parameter]: long } }));
    expect(evaluated).toMatchObject({ kind: 'refused', detail: { claim: parameter } });
    expect(found(evaluated).length).toBeLessThan(300);
  });

  it('is bounded for the name of an unknown member', async () => {
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
    const evaluated = await evaluate(receiver, body, webhookHeaders(body));
    expect(evaluated).toMatchObject({ kind: 'refused', detail: { claim: 'events' } });
    expect(found(evaluated).length).toBeLessThan(300);
  });
});
