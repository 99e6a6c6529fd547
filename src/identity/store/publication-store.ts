import type { Kysely } from 'kysely';
import { setTimeout } from 'node:timers/promises';
import type { OutboxTables } from '../../publisher/outbox-tables.ts';
import type { Database } from '../../database/database.ts';

/** The claims of a token that revocations can name. Times in seconds. */
export type RevocableClaims = {
  issuedAt: number;
  keyId: string;
  tokenId: string;
  clientId: string;
  subject: string;
  session: string | undefined;
};

/** Reads recorded revocations and the state of their publication. */
export type PublicationStore = {
  /**
   * The highest sequence number in the log of these published outbox rows. The leader reports a publication
   * before it stores the numbers, so this waits for them up to one second.
   * @returns undefined if the numbers are not stored by then
   */
  seqOf(rows: readonly number[]): Promise<number | undefined>;
  /** Whether a token is revoked, including revocations that are not published yet. */
  isRevoked(issuer: string, claims: RevocableClaims): Promise<boolean>;
  /** Whether a key is revoked. A key is revoked permanently. */
  isKeyRevoked(issuer: string, keyId: string): Promise<boolean>;
};

export function createPublicationStore(database: Database): PublicationStore {
  const db = database.db.$extendTables<OutboxTables>();
  const isKeyRevoked = async (issuer: string, keyId: string): Promise<boolean> => {
    const standing = await db
      .selectFrom('revocation_standing_keys')
      .select('target')
      .where('iss', '=', issuer)
      .where('target', '=', keyId)
      .executeTakeFirst();
    return standing !== undefined;
  };
  return {
    isKeyRevoked,
    seqOf: async (rows) => {
      if (rows.length === 0) return undefined;
      for (let attempt = 0; attempt < seqAttempts; attempt += 1) {
        const seq = await readSeq(db, rows.slice(-maxRows));
        if (seq !== undefined) return seq;
        await setTimeout(seqRetryMs);
      }
      return undefined;
    },
    isRevoked: async (issuer, { issuedAt, keyId, tokenId, clientId, subject, session }) => {
      if (await isKeyRevoked(issuer, keyId)) return true;
      const found = await db
        .selectFrom('revocation_outbox')
        .select('id')
        .where('iss', '=', issuer)
        .where(({ and, or, eb }) =>
          or([
            and([eb('kind', '=', 'token'), eb('target', '=', tokenId)]),
            and([eb('kind', '=', 'session'), eb('target', '=', session ?? '')]),
            and([eb('kind', '=', 'client'), eb('target', '=', clientId), eb('at', '>=', issuedAt)]),
            and([eb('kind', '=', 'subject'), eb('target', '=', subject), eb('at', '>=', issuedAt)]),
            and([eb('kind', '=', 'issuer'), eb('at', '>=', issuedAt)]),
          ]),
        )
        .executeTakeFirst();
      return found !== undefined;
    },
  };
}

const seqAttempts = 100;
const seqRetryMs = 10;

async function readSeq(db: Kysely<OutboxTables>, rows: readonly number[]): Promise<number | undefined> {
  const { seq, missing } = await db
    .selectFrom('revocation_outbox')
    .select(({ fn }) => [
      fn.max('published_seq').as('seq'),
      fn.countAll<number>().filterWhere('published_seq', 'is', null).as('missing'),
    ])
    .where('id', 'in', rows)
    .executeTakeFirstOrThrow();
  return missing === 0 ? (seq ?? undefined) : undefined;
}

/** Most rows in one statement. The last rows have the highest numbers. */
const maxRows = 500;
