import { hash } from 'node:crypto';
import type { Outbox } from '../../publisher/outbox.ts';
import type { DatabaseTransaction } from '../../publisher/store/database.ts';
import type { Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import type { GrantSelection, GrantStore, RemovedGrant } from '../store/grant-store.ts';

/** Why a session ended; goes into the revocation event. */
export type RevocationReason = 'logout' | 'revocation' | 'reuse' | 'disabled' | 'password' | 'operator';

export type Revocation = {
  removed: readonly RemovedGrant[];
  /** Outbox rows. */
  recorded: readonly number[];
  isPublished: boolean;
};

export type Revoker = {
  /**
   * Ends sessions: their refresh tokens are gone and the event is durable when this resolves, also with Redis down.
   * Waits at most `publishWaitMs` for the event to reach Redis. Cost: one commit.
   * @param options.before see `RemovalSteps`
   * @param options.alsoUnknown record the event even if no such grant exists
   */
  revoke(
    selection: GrantSelection,
    reason: RevocationReason,
    options?: { before?: (trx: DatabaseTransaction) => Promise<void>; alsoUnknown?: boolean },
  ): Promise<Revocation>;
};

export type RevokerOptions = {
  grants: GrantStore;
  outbox: Outbox;
  issuer: string;
  metrics: Pick<OwnerMetrics, 'refreshReuse'> | undefined;
  log: Log;
  /** Longest wait for Redis before the caller is answered; ms. Default 250. */
  publishWaitMs?: number;
};

/** A session's name in logs. */
const sessionHash = (id: string): string => hash('sha256', id, 'hex').slice(0, 12);

export function createRevoker({
  grants,
  outbox,
  issuer,
  metrics,
  log,
  publishWaitMs = 250,
}: RevokerOptions): Revoker {
  return {
    revoke: async (selection, reason, { before, alsoUnknown = false } = {}) => {
      const { removed, recorded } = await grants.remove(selection, {
        ...(before === undefined ? {} : { before }),
        record: async (trx, gone) => {
          const named = 'id' in selection && alsoUnknown ? [selection.id] : gone.map(({ id }) => id);
          const events = named.map((id) => ({ iss: issuer, kind: 'session' as const, id, reason }));
          const rows = events.length === 0 ? [] : await outbox.recordEvents(trx, events);
          return { removed: gone, recorded: rows };
        },
      });
      if (recorded.length === 0) return { removed, recorded, isPublished: true };
      outbox.wake();
      if (reason === 'reuse') metrics?.refreshReuse.inc(removed.length);
      for (const { id, clientId } of removed)
        log.info('session revoked', { reason, client: clientId, sessionHash: sessionHash(id) });
      const isPublished = await outbox.waitUntilPublished(recorded, publishWaitMs);
      return { removed, recorded, isPublished };
    },
  };
}
