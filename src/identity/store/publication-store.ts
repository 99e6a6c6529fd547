import type { OutboxTables } from '../../publisher/outbox-tables.ts';
import type { Database } from '../../publisher/store/database.ts';

/** What a token must not be, to be good. Times in seconds. */
export type RevocableClaims = {
  issuedAt: number;
  keyId: string;
  tokenId: string;
  clientId: string;
  subject: string;
  session: string | undefined;
};

/** What became of revocations, read where they are recorded. */
export type PublicationStore = {
  /** The highest number that rows of the outbox have in the log; undefined while none is published. */
  seqOf(rows: readonly number[]): Promise<number | undefined>;
  /** Whether a token is revoked, published or not. */
  isRevoked(issuer: string, claims: RevocableClaims): Promise<boolean>;
};

export function createPublicationStore(database: Database): PublicationStore {
  const db = database.db.$extendTables<OutboxTables>();
  return {
    seqOf: async (rows) => {
      if (rows.length === 0) return undefined;
      const { seq } = await db
        .selectFrom('revocation_outbox')
        .select(({ fn }) => fn.max('published_seq').as('seq'))
        .where('id', 'in', rows.slice(-maxRows))
        .executeTakeFirstOrThrow();
      return seq ?? undefined;
    },
    isRevoked: async (issuer, { issuedAt, keyId, tokenId, clientId, subject, session }) => {
      const standing = await db
        .selectFrom('revocation_standing_keys')
        .select('target')
        .where('iss', '=', issuer)
        .where('target', '=', keyId)
        .executeTakeFirst();
      if (standing !== undefined) return true;
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

/** The last rows have the highest numbers; a statement takes so many. */
const maxRows = 500;
