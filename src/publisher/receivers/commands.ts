import { createOutbox, outboxMigrations, type RevocationRequest } from '../outbox.ts';
import { migrate, openDatabase, type DatabaseOptions } from '../store/database.ts';
import { receiverMigrations } from './store/receiver-tables.ts';
import { publishedSeq } from './store/published-seq.ts';

/** What a command needs of the relay's configuration. Durations in ms. */
export type RelayCommandConfig = {
  readonly database: DatabaseOptions;
  readonly issuers: readonly { readonly issuer: string }[];
  readonly revocation: { readonly clockTolerance: number };
};

export type RelayRevocation = {
  /** Outbox rows. */
  readonly recorded: readonly number[];
  readonly isPublished: boolean;
  /** The log's sequence number, once published. */
  readonly seq: number | undefined;
};

/** How long a command waits for a running relay to publish what it recorded. */
const publishWaitMs = 5000;

/**
 * Revokes beside a running relay or without one: what is recorded is published by the leader, at once or when there is
 * one.
 * @throws ERR_REVOCATION_INVALID, ERR_DATABASE
 */
export async function revokeInRelay(
  config: RelayCommandConfig,
  request: RevocationRequest,
): Promise<RelayRevocation> {
  const database = openDatabase(config.database);
  try {
    await migrate(database, [outboxMigrations, receiverMigrations]);
    const outbox = createOutbox({
      database,
      issuers: config.issuers.map(({ issuer }) => ({ issuer, clock: 'foreign' })),
      clockToleranceMs: config.revocation.clockTolerance,
    });
    const recorded = await database.db
      .transaction()
      .execute(async (trx) => await outbox.recordEvents(trx, [request]));
    const isPublished = await outbox.waitUntilPublished(recorded, publishWaitMs);
    return { recorded, isPublished, seq: isPublished ? await publishedSeq(database, recorded) : undefined };
  } finally {
    await database.close();
  }
}
