import { sql } from 'kysely';
import type { Database } from '../../database/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isDatabaseUnavailable } from '../../runtime/fault.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import { identityTables } from './tables.ts';

const everyMs = 60_000;
const rowsPerStatement = 500;
/** How long an expired grant is kept: by then, its last access token has expired, too. */
const graceMs = 2 * 60 * 60 * 1000;

/**
 * How long the row of a used refresh token is kept. Later, its mark identifies it (see
 * `session/refresh-token-id.ts`).
 */
const usedKeptMs = 60 * 60 * 1000;

/** The maximum of `tokens.refreshGrace`: after that, a sealed successor is no longer returned. */
const successorKeptMs = 5 * 60 * 1000;

/** How long audit entries are kept. */
const auditKeptMs = 400 * 24 * 60 * 60 * 1000;

const purged = [
  ['identity_tokens', 'id_hash', 'expires_at_ms', 0],
  ['identity_tokens', 'id_hash', 'consumed_at_ms', usedKeptMs],
  ['identity_sessions', 'uid_hash', 'expires_at_ms', 0],
  ['identity_grants', 'id', 'expires_at_ms', graceMs],
  ['identity_audit', 'id', 'at_ms', auditKeptMs],
] as const;

/** Deletes expired rows, a bounded number in each statement. @returns how many rows were deleted */
export async function purgeExpired(database: Database, nowMs: number): Promise<number> {
  const db = identityTables(database.db);
  let count = 0;
  for (const [table, key, time, keptMs] of purged) {
    for (let deleted = rowsPerStatement; deleted === rowsPerStatement; count += deleted) {
      const { numAffectedRows } = await sql`
        delete from ${sql.table(table)} where ${sql.ref(key)} in (
          select ${sql.ref(key)} from ${sql.table(table)}
          where ${sql.ref(time)} < ${nowMs - keptMs} limit ${sql.lit(rowsPerStatement)})`.execute(db);
      deleted = Number(numAffectedRows ?? 0n);
    }
  }
  await deleteSuccessors(database, nowMs - successorKeptMs);
  return count;
}

async function deleteSuccessors(database: Database, usedBeforeMs: number): Promise<void> {
  const db = identityTables(database.db);
  const old = db
    .selectFrom('identity_tokens')
    .select('id_hash')
    .where('sealed_successor', 'is not', null)
    .where('consumed_at_ms', '<', usedBeforeMs)
    .limit(rowsPerStatement);
  for (let changed = rowsPerStatement; changed === rowsPerStatement;) {
    const { numUpdatedRows } = await db
      .updateTable('identity_tokens')
      .set({ sealed_successor: null })
      .where('id_hash', 'in', old)
      .executeTakeFirst();
    changed = Number(numUpdatedRows);
  }
}

/** Deletes expired rows once a minute. */
export function createPurge(options: { database: Database; clock: Clock; log: Log }): Part {
  const { database, clock, log } = options;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();

  async function run(): Promise<void> {
    try {
      const count = await purgeExpired(database, clock.nowMs());
      if (count > 0) log.debug('expired rows deleted', { count });
    } catch (thrown) {
      const level = isDatabaseUnavailable(thrown) ? 'debug' : 'warn';
      log[level]('expired rows could not be deleted', { err: thrown });
    }
  }

  return {
    name: 'purge',
    start: () => {
      timer = setInterval(() => {
        running = run();
      }, everyMs);
      timer.unref();
    },
    stop: async () => {
      clearInterval(timer);
      await running;
    },
  };
}
