import { sql, type SqlBool } from 'kysely';
import type { Database, DatabaseTransaction } from '../../database/database.ts';
import { identityTables, type ActorKind } from './tables.ts';

/** Who acts: an operator's login, a client id, or an account id; and from where. */
export type Actor = { kind: ActorKind; id: string; address?: string };

export type AuditAction =
  | 'user.add'
  | 'user.disable'
  | 'user.password'
  | 'passkey.add'
  | 'passkey.rename'
  | 'passkey.remove'
  | 'key.rotate'
  | 'key.import'
  | 'revoke.session'
  | 'revoke.token'
  | 'revoke.subject'
  | 'revoke.client'
  | 'revoke.key'
  | 'revoke.everything';

export type AuditDetails = {
  sessions?: number;
  reason?: string;
  issuedBefore?: string;
  /** Whose sessions ended, and at which client, where that is one. */
  subject?: string;
  client?: string;
  /** Whose tokens were revoked, where that is an issuer of others. */
  issuer?: string;
  /** Which passkey of the account, or how many. */
  passkey?: string;
  passkeys?: number;
};

export type AuditEntry = { actor: Actor; action: AuditAction; target: string; details?: AuditDetails };

export type StoredAuditEntry = Required<AuditEntry> & { id: number; atMs: number };

export type AuditStore = {
  /** Notes an action in the transaction that carries it out. */
  record(trx: DatabaseTransaction, entry: AuditEntry, nowMs: number): Promise<void>;
  /** Notes one that needs no other change. */
  note(entry: AuditEntry, nowMs: number): Promise<void>;
  /** The newest first. Cost: with a filter a look at every row, at worst. */
  list(query: AuditQuery): Promise<StoredAuditEntry[]>;
};

export type AuditQuery = {
  /** Only entries with a smaller id. */
  before?: number | undefined;
  /** Only entries from then on. */
  sinceMs?: number | undefined;
  /** What an account did, or had done to it or its sessions. */
  accountId?: string | undefined;
  /** The same of a client. */
  clientId?: string | undefined;
  /** 1 to 1000. */
  limit: number;
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
  const position = sql.raw(database.dialect === 'postgres' ? 'strpos' : 'instr');
  const inDetails = (member: 'subject' | 'client', id: string) =>
    sql<SqlBool>`${position}(details, ${`"${member}":${JSON.stringify(id)}`}) > 0`;
  const ofAccount = (id: string) =>
    sql<SqlBool>`(target = ${id} or (actor_kind = 'person' and actor = ${id}) or ${inDetails('subject', id)})`;
  // A client's own tokens have it for their subject.
  const ofClient = (id: string) =>
    sql<SqlBool>`((target = ${id} and action in ('revoke.client', 'revoke.subject'))
      or (actor_kind = 'client' and actor = ${id}) or ${inDetails('client', id)})`;
  return {
    record,
    note: (entry, nowMs) => database.db.transaction().execute((trx) => record(trx, entry, nowMs)),
    list: async ({ before, sinceMs, accountId, clientId, limit }) => {
      const rows = await db
        .selectFrom('identity_audit')
        .selectAll()
        .$if(before !== undefined, (query) => query.where('id', '<', before ?? 0))
        .$if(sinceMs !== undefined, (query) => query.where('at_ms', '>=', sinceMs ?? 0))
        .$if(accountId !== undefined, (query) => query.where(ofAccount(accountId ?? '')))
        .$if(clientId !== undefined, (query) => query.where(ofClient(clientId ?? '')))
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
