import { createHash } from 'node:crypto';
import type { Outbox } from '../publisher/outbox.ts';
import type { Database } from '../database/database.ts';
import type { Accepted, Receiver } from './receiver.ts';
import type { DeliveryStore } from './store/delivery-store.ts';

export type RecorderOptions = {
  readonly database: Database;
  readonly outbox: Outbox;
  readonly store: DeliveryStore;
  /** Longest wait for the revocations to be in the log, before the sender is answered; ms. Default 250. */
  readonly publishWaitMs?: number;
};

export type Recorder = {
  /**
   * Records the revocations and the id of a delivery in one transaction. Both are durable when this resolves,
   * even if Redis is down. Cost: one commit, and the wait for Redis.
   * @returns `duplicate` for a delivery that was recorded before; nothing is recorded again
   * @throws ERR_REVOCATION_INVALID
   */
  record(receiver: Pick<Receiver, 'kind' | 'path'>, accepted: Accepted): Promise<'accepted' | 'duplicate'>;
};

export function createRecorder(options: RecorderOptions): Recorder {
  const { database, outbox, store, publishWaitMs = 250 } = options;
  return {
    record: async (receiver, { deliveryId, duplicatesUntilMs, requests }) => {
      const rows = await database.db.transaction().execute(async (trx) => {
        const isNew = await store.recordOnce(trx, hashOf(receiver, deliveryId), duplicatesUntilMs);
        return isNew ? await outbox.recordEvents(trx, requests) : undefined;
      });
      if (rows === undefined) return 'duplicate';
      outbox.wake();
      await outbox.waitUntilPublished(rows, publishWaitMs);
      return 'accepted';
    },
  };
}

/** Senders choose the ids, so two receivers may get the same id. */
const hashOf = ({ kind, path }: Pick<Receiver, 'kind' | 'path'>, id: string): string =>
  createHash('sha256').update(`${kind}\n${path}\n${id}`).digest('base64url');
