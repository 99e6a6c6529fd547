import type { Outbox, RevocationRequest } from '../../publisher/outbox.ts';
import type { DatabaseTransaction } from '../../database/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import { sessionHash } from '../../runtime/session-hash.ts';
import type { AuditDetails, AuditEntry, AuditStore } from '../store/audit-store.ts';
import type { GrantSelection, GrantStore, RemovedGrant } from '../store/grant-store.ts';

/** Why a session ended: the reason in the revocation event. */
export type RevocationReason =
  | 'logout'
  | 'revocation'
  | 'reuse'
  | 'disabled'
  | 'password'
  | 'operator'
  | 'crowded'
  | (string & {});

export type Revocation = {
  removed: readonly RemovedGrant[];
  /** The ids of the outbox rows. */
  recorded: readonly number[];
  isPublished: boolean;
};

export type RevokeOptions = {
  /** See `RemovalSteps`. */
  before?: (trx: DatabaseTransaction) => Promise<void>;
  /** Only sessions that began before this time. */
  createdBeforeMs?: number | undefined;
  /** The events to record. Default: one for each removed session. */
  events?: (removed: readonly RemovedGrant[]) => readonly RevocationRequest[];
  /** Recorded in the same transaction, with the number of sessions. */
  audit?: AuditEntry | undefined;
};

export type Revoker = {
  /**
   * Ends sessions. When this resolves, their refresh tokens are deleted and the events are durable, even
   * without Redis. Waits at most `publishWaitMs` for the events to reach Redis. Cost: one commit.
   */
  revoke(selection: GrantSelection, reason: RevocationReason, options?: RevokeOptions): Promise<Revocation>;
};

export type RevokerOptions = {
  grants: GrantStore;
  audit: AuditStore;
  outbox: Outbox;
  issuer: string;
  clock: Clock;
  metrics: Pick<OwnerMetrics, 'refreshReuse'> | undefined;
  log: Log;
  /** Called after the commit with the sessions that ended, unless their own client ended them. */
  ended?: (removed: readonly RemovedGrant[]) => void;
  /** Longest wait for Redis before `revoke` resolves; ms. Default 250. */
  publishWaitMs?: number;
};

/** The event of one session that ends. */
export const sessionEvent = (iss: string, id: string, reason: RevocationReason): RevocationRequest => ({
  iss,
  kind: 'session',
  id,
  reason,
});

/**
 * The account and the client, if all removed grants have the same. After the deletion, only the audit log has
 * them.
 */
function onlyOne(removed: readonly RemovedGrant[]): Pick<AuditDetails, 'subject' | 'client'> {
  const [subject, ...otherSubjects] = new Set(removed.map(({ accountId }) => accountId));
  const [client, ...otherClients] = new Set(removed.map(({ clientId }) => clientId));
  return {
    ...(subject === undefined || otherSubjects.length > 0 ? {} : { subject }),
    ...(client === undefined || otherClients.length > 0 ? {} : { client }),
  };
}

export function createRevoker(options: RevokerOptions): Revoker {
  const { grants, audit, outbox, issuer, clock, metrics, log, ended, publishWaitMs = 250 } = options;
  return {
    revoke: async (selection, reason, { before, createdBeforeMs, events, audit: entry } = {}) => {
      const eventsOf = events ?? ((gone) => gone.map(({ id }) => sessionEvent(issuer, id, reason)));
      const { removed, recorded } = await grants.remove(selection, {
        ...(before === undefined ? {} : { before }),
        createdBeforeMs,
        record: async (trx, gone) => {
          const toRecord = eventsOf(gone);
          const rows = toRecord.length === 0 ? [] : await outbox.recordEvents(trx, toRecord);
          if (entry !== undefined) {
            const details = { ...entry.details, sessions: gone.length, reason, ...onlyOne(gone) };
            await audit.record(trx, { ...entry, details }, clock.nowMs());
          }
          return { removed: gone, recorded: rows };
        },
      });
      if (removed.length > 0 && reason !== 'revocation') ended?.(removed);
      if (recorded.length === 0) return { removed, recorded, isPublished: true };
      outbox.wake();
      if (reason === 'reuse') metrics?.refreshReuse.inc(removed.length);
      for (const { id, clientId } of removed.slice(0, maxLogged))
        log.info('session revoked', { reason, client: clientId, sessionHash: sessionHash(id) });
      if (removed.length > maxLogged) log.info('sessions revoked', { reason, count: removed.length });
      const isPublished = await outbox.waitUntilPublished(recorded, publishWaitMs);
      return { removed, recorded, isPublished };
    },
  };
}

const maxLogged = 100;
