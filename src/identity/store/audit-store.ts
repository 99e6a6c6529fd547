import type { Database, DatabaseTransaction } from '../../publisher/store/database.ts';
import { identityTables, type ActorKind } from './tables.ts';

/** Who acts: an operator's login, a client id, or an account id; and from where. */
export type Actor = { kind: ActorKind; id: string; address?: string };

export type AuditAction =
  | 'user.add'
  | 'user.disable'
  | 'user.password'
  | 'key.rotate'
  | 'key.import'
  | 'revoke.session'
  | 'revoke.token'
  | 'revoke.subject'
  | 'revoke.client'
  | 'revoke.key'
  | 'revoke.everything';

export type AuditDetails = { sessions?: number; reason?: string; issuedBefore?: string };

export type AuditEntry = { actor: Actor; action: AuditAction; target: string; details?: AuditDetails };

export type StoredAuditEntry = Required<AuditEntry> & { id: number; atMs: number };

export type AuditStore = {
  /** Notes an action in the transaction that carries it out. */
  record(trx: DatabaseTransaction, entry: AuditEntry, nowMs: number): Promise<void>;
  /** Notes one that needs no other change. */
  note(entry: AuditEntry, nowMs: number): Promise<void>;
  /** The newest first. @param options.before only entries with a smaller id; `limit` 1 to 1000 */
  list(options: { before: number | undefined; limit: number }): Promise<StoredAuditEntry[]>;
};

const maxTextLength = 512;

export function createAuditStore(database: Database): AuditStore {
  const db = identityTables(database.db);
  const record: AuditStore['record'] = async (trx, { actor, action, target, details = {} }, nowMs) => {
    const row = {
      at_ms: nowMs,
      actor_kind: actor.kind,
      actor: actor.id.slice(0, maxTextLength),
      action,
      target: target.slice(0, maxTextLength),
      address: actor.address ?? '',
      details: JSON.stringify(details),
    };
    await identityTables(trx).insertInto('identity_audit').values(row).execute();
  };
  return {
    record,
    note: (entry, nowMs) => database.db.transaction().execute((trx) => record(trx, entry, nowMs)),
    list: async ({ before, limit }) => {
      const rows = await db
        .selectFrom('identity_audit')
        .selectAll()
        .$if(before !== undefined, (query) => query.where('id', '<', before ?? 0))
        .orderBy('id', 'desc')
        .limit(limit)
        .execute();
      return rows.map((row) => ({
        id: row.id,
        atMs: row.at_ms,
        actor: { kind: row.actor_kind, id: row.actor, address: row.address },
        action: row.action as AuditAction,
        target: row.target,
        details: JSON.parse(row.details) as AuditDetails,
      }));
    },
  };
}
