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

/** The part of an owner's configuration that a command needs. Durations in ms. */
export type ForeignCommandConfig = {
  readonly database: DatabaseOptions;
  /** The foreign issuers: those whose tokens another identity provider issues. */
  readonly issuers: readonly { readonly issuer: string }[];
  readonly revocation: { readonly clockTolerance: number };
};

export type ForeignRevocation = {
  /** The ids of the outbox rows. */
  readonly recorded: readonly number[];
  readonly isPublished: boolean;
  /** The log's sequence number, if published. */
  readonly seq: number | undefined;
};

/** What an owner with more tables does together with the revocation. */
export type ForeignRevocationStep = {
  readonly migrations: readonly Migrations[];
  /** Runs first in the transaction that records the revocation. */
  run(trx: DatabaseTransaction, database: Database): Promise<void>;
};

/** How long a command waits for a running owner to publish what it recorded. */
const publishWaitMs = 5000;

/**
 * Revokes tokens of a foreign issuer. The command records the revocation in the owner's database, and the
 * leader publishes it, at once if one is running.
 * @throws ERR_REVOCATION_INVALID, ERR_DATABASE
 */
export async function revokeForeign(
  config: ForeignCommandConfig,
  request: RevocationRequest,
  step?: ForeignRevocationStep,
): Promise<ForeignRevocation> {
  const database = openDatabase(config.database);
  try {
    await migrate(database, [...(step?.migrations ?? []), outboxMigrations, receiverMigrations]);
    const outbox = createOutbox({
      database,
      issuers: config.issuers.map(({ issuer }) => ({ issuer, clock: 'foreign' })),
      clockToleranceMs: config.revocation.clockTolerance,
    });
    const recorded = await database.db.transaction().execute(async (trx) => {
      await step?.run(trx, database);
      return await outbox.recordEvents(trx, [request]);
    });
    const isPublished = await outbox.waitUntilPublished(recorded, publishWaitMs);
    return { recorded, isPublished, seq: isPublished ? await publishedSeq(database, recorded) : undefined };
  } finally {
    await database.close();
  }
}
