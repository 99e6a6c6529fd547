import type { Kysely, Selectable } from 'kysely';
import { hashOf, seal } from './sealing.ts';
import type { IdentityTables } from './tables.ts';
import type { NewToken, StoredToken, TokenUse } from './stored-tokens.ts';

export const tokenOf = (row: Selectable<IdentityTables['identity_tokens']>): StoredToken => ({
  payload: row.payload,
  grantId: row.grant_id ?? undefined,
  consumedAtMs: row.consumed_at_ms ?? undefined,
  consumedBy: row.consumed_by ?? undefined,
  expiresAtMs: row.expires_at_ms,
});

export type Tables = Kysely<IdentityTables>;

/**
 * Records a use of the grant and extends its expiry to that of its newest token. The row lock also orders
 * this with a concurrent revocation.
 * @returns false if the grant no longer exists
 */
export async function useGrant(db: Tables, id: string, expiresAtMs: number, nowMs: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('identity_grants')
    .set((column) => ({
      last_used_at_ms: nowMs,
      expires_at_ms: column
        .case()
        .when('expires_at_ms', '<', expiresAtMs)
        .then(expiresAtMs)
        .else(column.ref('expires_at_ms'))
        .end(),
    }))
    .where('id', '=', id)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

type KeptSuccessor = Pick<
  Selectable<IdentityTables['identity_tokens']>,
  'sealed_successor' | 'successor_hash'
>;

const noSuccessor = { sealed_successor: null, successor_hash: null } as const;

export async function markUsed(
  db: Tables,
  idHash: string,
  use: TokenUse,
  successor: KeptSuccessor = noSuccessor,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('identity_tokens')
    .set({ consumed_at_ms: use.nowMs, consumed_by: use.by, ...successor })
    .where('id_hash', '=', idHash)
    .where('consumed_at_ms', 'is', null)
    .executeTakeFirst();
  use.isMarked = numUpdatedRows > 0n;
  return use.isMarked;
}

/** The columns about the use of a token, for one that is unused. */
export const unusedRow = {
  consumed_at_ms: null,
  consumed_by: null,
  ...noSuccessor,
  repeated_at_ms: null,
} as const;

export const rowOf = (token: NewToken): IdentityTables['identity_tokens'] => ({
  id_hash: hashOf(token.kind, token.id),
  kind: token.kind,
  grant_id: token.grantId ?? null,
  payload: seal(token.id, token.kind, token.payload),
  ...unusedRow,
  user_code_hash: null,
  expires_at_ms: token.expiresAtMs,
});

export async function insertToken(db: Tables, token: NewToken): Promise<void> {
  const row = rowOf(token);
  const { payload, expires_at_ms } = row;
  await db
    .insertInto('identity_tokens')
    .values(row)
    .onConflict((conflict) => conflict.column('id_hash').doUpdateSet({ payload, expires_at_ms }))
    .execute();
}
