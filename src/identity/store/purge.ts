import { sql } from 'kysely';
import type { Database } from '../../database/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isDatabaseUnavailable } from '../../runtime/fault.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import { identityTables } from './tables.ts';

const everyMs = 60_000;
const rowsPerStatement = 500;
/** An expired grant stays a little: what was minted last from it is gone by then. */
const graceMs = 2 * 60 * 60 * 1000;

/** A used refresh token is known by its mark; its row serves the first moments only. */
const usedKeptMs = 60 * 60 * 1000;

/** The longest `tokens.refreshGrace`: afterwards no sealed successor is handed out. */
const successorKeptMs = 5 * 60 * 1000;

/** How long it is known who did what. */
const auditKeptMs = 400 * 24 * 60 * 60 * 1000;

const purged = [
  ['identity_tokens', 'id_hash', 'expires_at_ms', 0],
  ['identity_tokens', 'id_hash', 'consumed_at_ms', usedKeptMs],
  ['identity_sessions', 'uid_hash', 'expires_at_ms', 0],
  ['identity_grants', 'id', 'expires_at_ms', graceMs],
  ['identity_audit', 'id', 'at_ms', auditKeptMs],
] as const;

/** Deletes what has expired, a bounded number of rows at a time. @returns how many rows went */
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
  await forgetSuccessors(database, nowMs - successorKeptMs);
  return count;
}

async function forgetSuccessors(database: Database, usedBeforeMs: number): Promise<void> {
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

/** Purges once a minute. */
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
