import { createOutbox, outboxMigrations, type RevocationRequest } from '../publisher/outbox.ts';
import {
  migrate,
  openDatabase,
  type Database,
  type DatabaseOptions,
  type DatabaseTransaction,
  type Migrations,
} from '../database/database.ts';
import { receiverMigrations } from './store/receiver-tables.ts';
import { publishedSeq } from './store/published-seq.ts';

/** What a command needs of the configuration of an owner. Durations in ms. */
export type ForeignCommandConfig = {
  readonly database: DatabaseOptions;
  /** Those of others. */
  readonly issuers: readonly { readonly issuer: string }[];
  readonly revocation: { readonly clockTolerance: number };
};

export type ForeignRevocation = {
  /** Outbox rows. */
  readonly recorded: readonly number[];
  readonly isPublished: boolean;
  /** The log's sequence number, once published. */
  readonly seq: number | undefined;
};

/** What an owner adds that has more in its database. */
export type ForeignRevocationStep = {
  readonly migrations: readonly Migrations[];
  /** Done in the transaction that records the revocation. */
  also(trx: DatabaseTransaction, database: Database): Promise<void>;
};

/** How long a command waits for a running owner to publish what it recorded. */
const publishWaitMs = 5000;

/**
 * Revokes tokens of an issuer of others, beside a running owner of the log or without one: what is recorded is
 * published by the leader, at once or when there is one.
 * @throws ERR_REVOCATION_INVALID, ERR_DATABASE
 */
export async function revokeForeign(
  config: ForeignCommandConfig,
  request: RevocationRequest,
  more?: ForeignRevocationStep,
): Promise<ForeignRevocation> {
  const database = openDatabase(config.database);
  try {
    await migrate(database, [...(more?.migrations ?? []), outboxMigrations, receiverMigrations]);
    const outbox = createOutbox({
      database,
      issuers: config.issuers.map(({ issuer }) => ({ issuer, clock: 'foreign' })),
      clockToleranceMs: config.revocation.clockTolerance,
    });
    const recorded = await database.db.transaction().execute(async (trx) => {
      await more?.also(trx, database);
      return await outbox.recordEvents(trx, [request]);
    });
    const isPublished = await outbox.waitUntilPublished(recorded, publishWaitMs);
    return { recorded, isPublished, seq: isPublished ? await publishedSeq(database, recorded) : undefined };
  } finally {
    await database.close();
  }
}
