import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { identityMigrations } from '../../src/identity/store/migrations.ts';
import { outboxMigrations } from '../../src/publisher/outbox.ts';
import { receiverMigrations } from '../../src/receivers/receivers.ts';
import { createHeartbeatStore } from '../../src/receivers/store/heartbeat-store.ts';
import { migrate, type Database } from '../../src/database/database.ts';
import { neverPrinted } from '../output.ts';
import { webhookSecretText } from '../receivers/senders.ts';
import type { Post } from '../relay/deliveries.ts';
import { jwkSetOf, testIssuer, testKey } from '../token/tokens.ts';
import { openTestDatabase, type DatabaseInput } from './databases.ts';

// Another identity provider, whose sessions end by notices to identity.

/**
 * Its part of identity's configuration: one receiver of each standard, each sender taken to try for an hour.
 */
export function foreignSettings(directory: string, redelivery = '1h') {
  const file = join(directory, 'foreign-jwks.json');
  writeFileSync(file, jwkSetOf(testKey()));
  neverPrinted(webhookSecretText);
  const shared = { issuer: testIssuer, redelivery };
  return {
    foreignIssuers: [{ issuer: testIssuer, jwks: { file }, algorithms: ['RS256'] }],
    receivers: [
      { kind: 'set-push', path: '/events', audience: 'https://relay.test', ...shared },
      { kind: 'backchannel-logout', path: '/logout', audience: ['web'], ...shared },
      { kind: 'webhook', path: '/webhook', secrets: [webhookSecretText], ...shared },
    ],
  };
}

async function withDatabase<Outcome>(
  input: DatabaseInput,
  work: (database: Database) => Promise<Outcome>,
): Promise<Outcome> {
  const database = openTestDatabase(input);
  try {
    await migrate(database, [identityMigrations, outboxMigrations, receiverMigrations]);
    return await work(database);
  } finally {
    await database.close();
  }
}

/** Makes it look as if somebody had listened until so long ago. */
export const listenedUntil = (input: DatabaseInput, agoMs = 0): Promise<void> =>
  withDatabase(input, async (database) => {
    const store = createHeartbeatStore(database);
    await database.db.transaction().execute(async (trx) => await store.beat(trx, [testIssuer]));
    await sql`update receiver_presence set seen_at_ms = seen_at_ms - ${agoMs}`.execute(database.db);
  });

/** From here on the database takes no revocations. @returns ends it */
export const breakOutbox = (input: DatabaseInput): Promise<() => Promise<void>> =>
  withDatabase(input, async ({ db, dialect }) => {
    const [begin, end] =
      dialect === 'sqlite'
        ? [
            sql`create trigger broken before insert on revocation_outbox begin select raise(abort, 'the disk is full'); end`,
            sql`drop trigger broken`,
          ]
        : [
            sql`alter table revocation_outbox add constraint broken check (false) not valid`,
            sql`alter table revocation_outbox drop constraint broken`,
          ];
    await begin.execute(db);
    return () => withDatabase(input, async (again) => void (await end.execute(again.db)));
  });

export type Revoked = { iss: string; kind: string; target: string; reason: string | null };

/** What has been recorded, in order. */
export const recorded = (input: DatabaseInput): Promise<Revoked[]> =>
  withDatabase(input, async ({ db }) => {
    const query = sql<Revoked>`select iss, kind, target, reason from revocation_outbox order by id`;
    return (await query.execute(db)).rows;
  });

/** Posts a delivery. @returns status, and after how many seconds to come again */
export async function deliver(
  url: string,
  [path, body, headers]: Post,
): Promise<{ status: number; retryAfter: string | null }> {
  const response = await fetch(`${url}${path}`, { method: 'POST', body, headers });
  await response.arrayBuffer();
  return { status: response.status, retryAfter: response.headers.get('retry-after') };
}
