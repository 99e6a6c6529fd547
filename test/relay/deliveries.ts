import { DatabaseSync } from 'node:sqlite';
import {
  fusionAuthEvent,
  fusionAuthSignature,
  logoutForm,
  logoutToken,
  securityEventToken,
  webhookHeaders,
} from '../receivers/senders.ts';
import { testIssuer } from '../token/tokens.ts';
import { neverPrinted } from '../output.ts';

/** One delivery as its sender posts it; sent twice it is a retry. */
export type Post = readonly [path: string, body: string, headers: Record<string, string>];

const seconds = (): number => Math.floor(Date.now() / 1000);

/** A session-revoked event about the account. */
export function setPost(subject: string, claims: Record<string, unknown> = {}, now = seconds()): Post {
  const token = securityEventToken({
    now,
    claims: { sub_id: { format: 'iss_sub', iss: testIssuer, sub: subject }, ...claims },
  });
  neverPrinted(token);
  return ['/events', token, { 'content-type': 'application/secevent+jwt' }];
}

export function logoutPost(session: string, claims: Record<string, unknown> = {}, now = seconds()): Post {
  const token = logoutToken({ now, claims: { sid: session, ...claims } });
  neverPrinted(token);
  return ['/logout', logoutForm(token), { 'content-type': 'application/x-www-form-urlencoded' }];
}

const fusionAuthToken = 'xRxGGEpVawiUak6He367W3oeOfh+3irw+1G1h1jc';

export function fusionAuthPost(session: string, event: Record<string, unknown> = {}): Post {
  const refreshToken = { id: session, token: fusionAuthToken, userId: 'user-1' };
  const body = fusionAuthEvent({ createInstant: Date.now(), refreshToken, ...event });
  const signature = fusionAuthSignature(body);
  neverPrinted(fusionAuthToken, signature);
  return [
    '/fusionauth',
    body,
    { 'content-type': 'application/json', 'x-fusionauth-signature-jwt': signature },
  ];
}

export function webhookPost(...events: readonly unknown[]): Post {
  const body = JSON.stringify({ events });
  const headers = webhookHeaders(body, { timestamp: seconds() });
  return ['/webhook', body, { 'content-type': 'application/json', ...headers }];
}

export type OutboxLine = { kind: string; target: string; reason: string | null; at: number };

/** What is in a relay's outbox, whatever the relay does meanwhile. */
export function outboxOf(sqlite: string): OutboxLine[] {
  const database = new DatabaseSync(sqlite, { readOnly: true });
  try {
    return database
      .prepare('select kind, target, reason, at from revocation_outbox order by id')
      .all() as OutboxLine[];
  } finally {
    database.close();
  }
}
