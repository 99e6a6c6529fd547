import { createHmac, timingSafeEqual } from 'node:crypto';
import { Fault } from '../runtime/fault.ts';
import type { Secret } from '../runtime/secret.ts';
import { decodeBase64 } from './base64.ts';
import { checkDate } from './jwt-claims.ts';
import { refuseDelivery, type Delivery, type Refused } from './receiver.ts';

const secretPrefix = 'whsec_';
const minSecretBytes = 24;
const maxSecretBytes = 64;
const maxSignatures = 16;
const hmacBytes = 32;

/**
 * The key of a Standard Webhooks secret: base64 of 24 to 64 bytes, with or without its prefix.
 * @throws ERR_CONFIG_INVALID, ERR_SECRET_UNREADABLE
 */
export function webhookKey(secret: Secret): Buffer {
  const text = secret.text().trim();
  const key = decodeBase64(text.startsWith(secretPrefix) ? text.slice(secretPrefix.length) : text);
  if (key !== undefined && key.length >= minSecretBytes && key.length <= maxSecretBytes) return key;
  throw new Fault(
    'ERR_CONFIG_INVALID',
    `the webhook secret in ${secret.source} must be ${secretPrefix} and the base64 of ${minSecretBytes} to ${maxSecretBytes} bytes`,
  );
}

export type WebhookEnvelope = { readonly kind: 'signed'; readonly id: string };

// The signed text is id, full stop, timestamp. A full stop in the id would make the end of the id ambiguous.
const idPattern = /^[\x21-\x2d\x2f-\x7e]{1,256}$/;
const timestampPattern = /^\d{1,12}$/;

/**
 * Verifies id, timestamp and signature of a webhook (Standard Webhooks 1.0, "Verifying signatures").
 * @param keys more than one while a secret is being replaced
 */
export function verifyWebhook(
  { body, header }: Delivery,
  keys: readonly Buffer[],
  rules: { readonly toleranceMs: number },
  nowMs: number,
): WebhookEnvelope | Refused {
  const id = header('webhook-id') ?? '';
  const timestamp = header('webhook-timestamp') ?? '';
  if (!idPattern.test(id))
    return refuseDelivery('malformed', {
      claim: 'webhook-id',
      expected: '1 to 256 printable characters without a full stop',
    });
  if (!timestampPattern.test(timestamp))
    return refuseDelivery('malformed', { claim: 'webhook-timestamp', expected: 'whole seconds since 1970' });
  const signatures = (header('webhook-signature') ?? '').split(' ').slice(0, maxSignatures);
  const given = signatures.flatMap(readSignature);
  const expected = keys.map((key) =>
    createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest(),
  );
  if (!given.some((one) => expected.some((other) => timingSafeEqual(one, other))))
    return refuseDelivery('bad_signature', {
      claim: 'webhook-signature',
      expected: 'a signature by a configured secret',
    });
  // The timestamp is the date of the attempt, and a retry has a new one.
  const dates = { maxAgeMs: 0, clockToleranceMs: rules.toleranceMs };
  return checkDate('webhook-timestamp', Number(timestamp), dates, nowMs) ?? { kind: 'signed', id };
}

function readSignature(text: string): Buffer[] {
  if (!text.startsWith('v1,')) return [];
  const signature = decodeBase64(text.slice('v1,'.length));
  return signature?.length === hmacBytes ? [signature] : [];
}
