import { sql, type SqlBool } from 'kysely';
import type { Database, DatabaseTransaction } from '../../database/database.ts';
import { identityTables, type ActorKind } from './tables.ts';

/** Who acts (`id`: an operator's login, a client id or an account id) and from which address. */
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
  /** The account and the client of the sessions that ended, if they all have the same. */
  subject?: string;
  client?: string;
  /** The other issuer whose tokens were revoked. */
  issuer?: string;
  /** The id of a passkey of the account. */
  passkey?: string;
  /** How many passkeys of the account. */
  passkeys?: number;
};

export type AuditEntry = { actor: Actor; action: AuditAction; target: string; details?: AuditDetails };

export type StoredAuditEntry = Required<AuditEntry> & { id: number; atMs: number };

export type AuditStore = {
  /** Records an action in the transaction that carries it out. */
  record(trx: DatabaseTransaction, entry: AuditEntry, nowMs: number): Promise<void>;
  /** Records an action in a transaction of its own. */
  recordAlone(entry: AuditEntry, nowMs: number): Promise<void>;
  /** The newest entries first. Cost: with a filter, scans the whole table at worst. */
  list(query: AuditQuery): Promise<StoredAuditEntry[]>;
};

export type AuditQuery = {
  /** Only entries with a smaller id. */
  before?: number | undefined;
  /** Only entries from this time on. */
  sinceMs?: number | undefined;
  /** Only actions by this account, or on it or its sessions. */
  accountId?: string | undefined;
  /** Only actions by this client, or on it or its sessions. */
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
  // With client_credentials, the client itself is the subject of its tokens.
  const ofClient = (id: string) =>
    sql<SqlBool>`((target = ${id} and action in ('revoke.client', 'revoke.subject'))
      or (actor_kind = 'client' and actor = ${id}) or ${inDetails('client', id)})`;
  return {
    record,
    recordAlone: (entry, nowMs) => database.db.transaction().execute((trx) => record(trx, entry, nowMs)),
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
