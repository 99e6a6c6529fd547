import { createOutbox, outboxMigrations } from '../../publisher/outbox.ts';
import {
  migrate,
  openDatabase,
  type Database,
  type DatabaseOptions,
} from '../../publisher/store/database.ts';
import { createLog } from '../../runtime/log.ts';
import { createGrantStore } from '../store/grant-store.ts';
import { identityMigrations } from '../store/migrations.ts';
import { createRevoker, type Revocation, type Revoker } from './revoker.ts';

/** What a command needs of identity's configuration. Durations in ms. */
export type CommandConfig = {
  readonly issuer: string;
  readonly database: DatabaseOptions;
  readonly revocation: { readonly clockTolerance: number };
};

export type CommandContext = { database: Database; revoker: Revoker };

/** How long a command waits for a running identity to publish what it recorded. */
const publishWaitMs = 5000;

/**
 * Works on identity's database, beside a running identity or without one: what is recorded is published by the
 * leader, at once or when there is one.
 * @throws ERR_DATABASE
 */
export async function withCommandContext<Outcome>(
  config: CommandConfig,
  work: (context: CommandContext) => Promise<Outcome>,
): Promise<Outcome> {
  const database = openDatabase(config.database);
  try {
    await migrate(database, [identityMigrations, outboxMigrations]);
    const { issuer, revocation } = config;
    const clockToleranceMs = revocation.clockTolerance;
    const revoker = createRevoker({
      grants: createGrantStore(database),
      outbox: createOutbox({ database, issuers: [{ issuer, clock: 'own' }], clockToleranceMs }),
      issuer,
      metrics: undefined,
      // A command tells its caller, and nobody else.
      log: createLog({ program: 'curfew', level: 'silent' }),
      publishWaitMs,
    });
    return await work({ database, revoker });
  } finally {
    await database.close();
  }
}

/** Ends one session by its id, the claim `grant_id`. An id that isn't known is revoked all the same. */
export const revokeSession = (config: CommandConfig, id: string): Promise<Revocation> =>
  withCommandContext(config, ({ revoker }) => revoker.revoke({ id }, 'operator', { alsoUnknown: true }));
