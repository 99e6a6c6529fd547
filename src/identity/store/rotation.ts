import type { Database } from '../../database/database.ts';
import { hashOf, seal, unseal } from './sealing.ts';
import { insertToken, markUsed, unusedRow, useGrant, type Tables } from './token-rows.ts';
import type {
  LostUse,
  OneUseToken,
  RotationRefusal,
  Successor,
  TokenUse,
  UsedToken,
} from './stored-tokens.ts';

/** Thrown to roll the transaction back. */
export class RefusedRotation extends Error {
  readonly refusal: RotationRefusal;
  constructor(refusal: RotationRefusal) {
    super(refusal);
    this.refusal = refusal;
  }
}

const successorContext = 'Successor';

export async function rotate(
  trx: Tables,
  { used, successor, use }: { used: OneUseToken; successor: Successor; use: TokenUse },
): Promise<void> {
  const { grantId = '', expiresAtMs, sessionUid, isKept } = successor;
  if (!(await useGrant(trx, grantId, expiresAtMs, use.nowMs))) throw new RefusedRotation('gone');
  const idHash = hashOf(used.kind, used.id);
  const kept = {
    sealed_successor: seal(used.id, successorContext, successor.id),
    successor_hash: hashOf('RefreshToken', successor.id),
  };
  if (!(await markUsed(trx, idHash, use, isKept ? kept : undefined))) throw new RefusedRotation('used');
  // The previous token no longer gets its successor again, because the successor has now been used. Only the
  // token with this successor is changed: several browser tabs may use tokens of the same grant.
  await trx
    .updateTable('identity_tokens')
    .set({ sealed_successor: null })
    .where('grant_id', '=', grantId)
    .where('successor_hash', '=', idHash)
    .execute();
  await insertToken(trx, successor);
  if (sessionUid !== undefined) await extendSession(trx, sessionUid, expiresAtMs);
}

export async function findUse(db: Tables, { kind, id }: OneUseToken): Promise<UsedToken | undefined> {
  const row = await db
    .selectFrom('identity_tokens')
    .select(['grant_id', 'consumed_at_ms', 'consumed_by', 'sealed_successor'])
    .where('id_hash', '=', hashOf(kind, id))
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { sealed_successor: sealed } = row;
  const successor = sealed === null ? undefined : unseal(id, successorContext, sealed);
  return {
    grantId: row.grant_id ?? undefined,
    consumedAtMs: row.consumed_at_ms ?? undefined,
    consumedBy: row.consumed_by ?? undefined,
    successor: successor !== undefined && (await isUnused(db, successor)) ? successor : undefined,
  };
}

export async function recordRepeat(
  db: Tables,
  { kind, id }: OneUseToken,
  { usedAtMs, nowMs }: { usedAtMs: number; nowMs: number },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('identity_tokens')
    .set({ repeated_at_ms: nowMs })
    .where('id_hash', '=', hashOf(kind, id))
    .where('consumed_at_ms', '=', usedAtMs)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function takeBack(
  trx: Tables,
  dialect: Database['dialect'],
  { token, use, successorId }: LostUse,
): Promise<void> {
  const idHash = hashOf(token.kind, token.id);
  // The lock waits for a concurrent commit. An UPDATE alone would not wait: in its snapshot the token is
  // unused.
  await trx
    .selectFrom('identity_tokens')
    .select('id_hash')
    .where('id_hash', '=', idHash)
    .$if(dialect === 'postgres', (query) => query.forUpdate())
    .execute();
  const { numUpdatedRows } = await trx
    .updateTable('identity_tokens')
    .set(unusedRow)
    .where('id_hash', '=', idHash)
    .where('consumed_at_ms', '=', use.nowMs)
    .where('consumed_by', '=', use.by)
    .where('repeated_at_ms', 'is', null)
    .executeTakeFirst();
  if (numUpdatedRows === 0n || successorId === undefined) return;
  await trx
    .deleteFrom('identity_tokens')
    .where('id_hash', '=', hashOf('RefreshToken', successorId))
    .execute();
}

async function isUnused(db: Tables, refreshToken: string): Promise<boolean> {
  const row = await db
    .selectFrom('identity_tokens')
    .select('id_hash')
    .where('id_hash', '=', hashOf('RefreshToken', refreshToken))
    .where('consumed_at_ms', 'is', null)
    .executeTakeFirst();
  return row !== undefined;
}

async function extendSession(db: Tables, uid: string, expiresAtMs: number): Promise<void> {
  await db
    .updateTable('identity_sessions')
    .set({ expires_at_ms: expiresAtMs })
    .where('uid_hash', '=', hashOf('SessionUid', uid))
    .where('expires_at_ms', '<', expiresAtMs)
    .execute();
}
