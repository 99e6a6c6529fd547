import type { Database, Migrations } from '../../database/database.ts';

/** The tables of receivers. Times are milliseconds since 1970. */
export type ReceiverTables = {
  /** Deliveries that were accepted, by a hash of receiver and id. */
  receiver_deliveries: { id_hash: string; expires_at_ms: number };
  /** The time of the last heartbeat for an issuer, by the database's clock. */
  receiver_presence: { iss: string; seen_at_ms: number };
};

/** For `migrate`, together with `outboxMigrations`. */
export const receiverMigrations: Migrations = {
  'publisher-0002-receivers': {
    async up({ schema }: Database['db']): Promise<void> {
      await schema
        .createTable('receiver_deliveries')
        .addColumn('id_hash', 'text', (column) => column.primaryKey())
        .addColumn('expires_at_ms', 'bigint', (column) => column.notNull())
        .execute();
      await schema
        .createIndex('receiver_deliveries_expires')
        .on('receiver_deliveries')
        .column('expires_at_ms')
        .execute();
      await schema
        .createTable('receiver_presence')
        .addColumn('iss', 'text', (column) => column.primaryKey())
        .addColumn('seen_at_ms', 'bigint', (column) => column.notNull())
        .execute();
    },
  },
};
