import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createStandardWebhook, type StandardWebhookOptions } from '../../src/receivers/webhook.ts';
import { webhookKey } from '../../src/receivers/webhook-signature.ts';
import type { Receiver, DeliveryRefusal } from '../../src/receivers/receiver.ts';
import { secretFromFile, secretFromText } from '../../src/runtime/secret.ts';
import { eventually } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { capturedLog } from '../token/fixtures.ts';
import { testIssuer, testNow } from '../token/tokens.ts';
import { evaluate, nowMs, webhookHeaders, webhookSecretText } from './senders.ts';

const other = 'https://other.test';
const otherSecret = Buffer.alloc(32, 7);

async function receiver(options: Partial<StandardWebhookOptions> = {}): Promise<Receiver> {
  const webhook = createStandardWebhook({
    path: '/webhook',
    issuers: [testIssuer],
    kinds: ['session', 'token', 'subject', 'client'],
    secrets: [secretFromText(webhookSecretText)],
    redeliveryMs: 3_600_000,
    clockToleranceMs: 5000,
    log: capturedLog().log,
    ...options,
  });
  await webhook.start();
  onTestFinished(() => webhook.stop());
  return webhook;
}

const bodyOf = (...events: readonly unknown[]): string => JSON.stringify({ events });
const session = { kind: 'session', id: 'session-1' };

async function evaluated(body: string, options: Partial<StandardWebhookOptions> = {}) {
  return await evaluate(await receiver(options), body, webhookHeaders(body));
}

describe('a signed webhook', () => {
  it('makes the revocations that it names', async () => {
    const events = [
      session,
      { iss: testIssuer, kind: 'subject', id: 'user-1', at: 1_763_969_000.5, reason: 'left' },
      { kind: 'token', id: 'token-1' },
      { kind: 'client', id: 'web' },
    ];
    expect(await evaluated(bodyOf(...events))).toMatchObject({
      kind: 'accepted',
      requests: [
        { iss: testIssuer, kind: 'session', id: 'session-1' },
        { iss: testIssuer, kind: 'subject', id: 'user-1', at: 1_763_969_000.5, reason: 'left' },
        { iss: testIssuer, kind: 'token', id: 'token-1' },
        { iss: testIssuer, kind: 'client', id: 'web' },
      ],
    });
  });

  it('is accepted in the example of the specification’s reference implementation', async () => {
    const key = webhookKey(secretFromText('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'));
    const headers = webhookHeaders('{"test": 2432232314}', {
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      timestamp: 1_614_265_330,
      secret: key,
    });
    expect(headers['webhook-signature']).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  it('may revoke keys and whole issuers only if configured', async () => {
    const all = { kinds: ['issuer', 'key'] as const };
    for (const event of [{ kind: 'issuer' }, { kind: 'key', id: 'key-1' }]) {
      expect(await evaluated(bodyOf(event))).toMatchObject({ reason: 'malformed' });
      expect(await evaluated(bodyOf(event), all)).toMatchObject({ kind: 'accepted' });
    }
    expect(await evaluated(bodyOf({ kind: 'issuer', id: other }), all)).toMatchObject({
      reason: 'malformed',
    });
  });

  it('must name the issuer if there are several', async () => {
    const issuers = [testIssuer, other];
    expect(await evaluated(bodyOf(session), { issuers })).toMatchObject({ reason: 'wrong_issuer' });
    expect(await evaluated(bodyOf({ ...session, iss: other }), { issuers })).toMatchObject({
      requests: [{ iss: other }],
    });
    expect(await evaluated(bodyOf({ ...session, iss: other }))).toMatchObject({ reason: 'wrong_issuer' });
  });

  it('is accepted with either of two secrets, and with either of its signatures', async () => {
    const body = bodyOf(session);
    const secrets = [secretFromText(webhookSecretText), secretFromText(otherSecret.toString('base64'))];
    const rotating = await receiver({ secrets });
    expect(await evaluate(rotating, body, webhookHeaders(body))).toMatchObject({ kind: 'accepted' });
    const byOther = webhookHeaders(body, { secret: otherSecret });
    expect(await evaluate(rotating, body, byOther)).toMatchObject({ kind: 'accepted' });
    const one = await receiver();
    expect(await evaluate(one, body, byOther)).toMatchObject({ reason: 'bad_signature' });
    const both = `v1a,AAAA ${byOther['webhook-signature']} ${webhookHeaders(body, { id: 'm' })['webhook-signature']}`;
    expect(
      await evaluate(one, body, { ...webhookHeaders(body, { id: 'm' }), 'webhook-signature': both }),
    ).toMatchObject({ kind: 'accepted', deliveryId: 'm' });
  });

  it(
    'is verified with the secret in a file, also after the file was replaced',
    { timeout: 15_000 },
    async () => {
      const file = join(temporaryDirectory(), 'secret');
      writeFileSync(file, `${webhookSecretText}\n`);
      const log = capturedLog();
      const webhook = await receiver({ secrets: [secretFromFile(file)], log: log.log });
      const body = bodyOf(session);
      expect(await evaluate(webhook, body, webhookHeaders(body))).toMatchObject({ kind: 'accepted' });
      writeFileSync(`${file}.new`, otherSecret.toString('base64'));
      renameSync(`${file}.new`, file);
      await eventually('the new secret', () => (log.text().includes('reloaded secret') ? true : undefined));
      expect(await evaluate(webhook, body, webhookHeaders(body, { secret: otherSecret }))).toMatchObject({
        kind: 'accepted',
      });
      expect(log.text()).not.toContain(otherSecret.toString('base64'));
    },
  );

  it.each(['whsec_', 'short', 'whsec_AAAA', `whsec_${Buffer.alloc(65).toString('base64')}`, '¡hola!'])(
    'does not start with the secret %s',
    async (text) => {
      await expect(receiver({ secrets: [secretFromText(text)] })).rejects.toMatchObject({
        code: 'ERR_CONFIG_INVALID',
      });
    },
  );

  const good = bodyOf(session);
  const otherVersion = (headers: Record<string, string>) => ({
    ...headers,
    'webhook-signature': headers['webhook-signature']?.replace('v1,', 'v2,') ?? '',
  });
  it.each<[string, DeliveryRefusal, Record<string, string>]>([
    ['no headers', 'malformed', {}],
    ['no signature', 'bad_signature', { ...webhookHeaders(good), 'webhook-signature': '' }],
    ['another signature', 'bad_signature', webhookHeaders(`${good} `)],
    ['another id', 'bad_signature', { ...webhookHeaders(good), 'webhook-id': 'another' }],
    [
      'another timestamp',
      'bad_signature',
      { ...webhookHeaders(good), 'webhook-timestamp': `${testNow + 1}` },
    ],
    ['an id with a full stop', 'malformed', webhookHeaders(good, { id: 'a.b' })],
    ['an id too long', 'malformed', webhookHeaders(good, { id: 'a'.repeat(257) })],
    ['a timestamp in words', 'malformed', { ...webhookHeaders(good), 'webhook-timestamp': 'now' }],
    ['great age', 'too_old', webhookHeaders(good, { timestamp: testNow - 301 })],
    ['a date in the future', 'not_yet_valid', webhookHeaders(good, { timestamp: testNow + 301 })],
    ['a signature of another version', 'bad_signature', otherVersion(webhookHeaders(good))],
  ])('is refused for %s', async (_, reason, headers) => {
    expect(await evaluate(await receiver(), good, headers)).toMatchObject({ kind: 'refused', reason });
  });

  it.each([
    ['no JSON', 'hello'],
    ['a list', '[]'],
    ['no events', '{}'],
    ['an empty list', bodyOf()],
    ['too many', bodyOf(...Array.from({ length: 501 }, () => session))],
    ['an event that is no object', bodyOf('session-1')],
    ['no kind', bodyOf({ id: 'session-1' })],
    ['an unknown kind', bodyOf({ ...session, kind: 'person' })],
    ['no id', bodyOf({ kind: 'session' })],
    ['an id too long', bodyOf({ ...session, id: 'x'.repeat(257) })],
    ['an id that is a number', bodyOf({ ...session, id: 7 })],
    ['a time in milliseconds', bodyOf({ ...session, at: nowMs })],
    ['a time in words', bodyOf({ ...session, at: 'now' })],
    ['a time that was never set', bodyOf({ ...session, at: 0 })],
    ['a reason with spaces', bodyOf({ ...session, reason: 'left us' })],
    ['a misspelt member', bodyOf({ ...session, issued_before: testNow })],
    ['a member twice', '{"events":[{"kind":"session","id":"a","id":"b"}]}'],
  ])('is refused whole for %s', async (_, body) => {
    expect(await evaluated(body)).toMatchObject({ kind: 'refused', reason: 'malformed' });
  });

  it('may name single sessions only: ALL is refused, because no session has this id', async () => {
    const refused = await evaluated(bodyOf(session, { kind: 'session', id: 'ALL' }));
    expect(refused).toMatchObject({ kind: 'refused', reason: 'unknown_subject', detail: { claim: 'id' } });
    expect(await evaluated(bodyOf({ kind: 'subject', id: 'ALL' }))).toMatchObject({ kind: 'accepted' });
  });

  it('is refused for bytes that are not UTF-8', async () => {
    const body = Buffer.concat([
      Buffer.from('{"events":[{"kind":"session","id":"'),
      Buffer.of(0xff),
      Buffer.from('"}]}'),
    ]);
    const refused = await evaluate(await receiver(), body, webhookHeaders(body));
    expect(refused).toMatchObject({ reason: 'malformed' });
  });

  it('has its id kept for as long as the sender may retry, each time with another date', async () => {
    const evaluation = await evaluated(bodyOf(session), { redeliveryMs: 3_600_000 });
    const lastAttempt = nowMs + 3_600_000 + 300_000;
    expect(evaluation.kind === 'accepted' ? evaluation.duplicatesUntilMs : 0).toBeGreaterThanOrEqual(
      lastAttempt,
    );
  });

  it('takes 500 events at once', async () => {
    const many = await evaluated(
      bodyOf(...Array.from({ length: 500 }, (_, id) => ({ ...session, id: `${id}` }))),
    );
    expect(many).toMatchObject({ kind: 'accepted', requests: { length: 500 } });
  });

  it('is evaluated without a fault, whatever it is', async () => {
    const webhook = await receiver();
    await fc.assert(
      fc.asyncProperty(fc.json(), fc.dictionary(fc.string(), fc.string()), async (body, headers) => {
        expect((await evaluate(webhook, body, { ...webhookHeaders(body) })).kind).toMatch(/accepted|refused/);
        expect((await evaluate(webhook, body, headers)).kind).toBe('refused');
      }),
    );
  });
});
