import pg from 'pg';
import type { Secret } from '../../runtime/secret.ts';

/** A standing subscription. `stop` ends it; further calls do nothing. */
export type Listener = { stop(): Promise<void> };

const reconnectMs = 1000;

/**
 * Listens for PostgreSQL notifications on a connection of its own, which is opened again when it breaks.
 * @param options.channel an identifier of lower-case letters and underscores
 * @param options.heard called for each notification, and after each connection: something may have been missed
 */
export function listenToPostgres(options: {
  url: Pick<Secret, 'text'>;
  channel: string;
  heard(): void;
}): Listener {
  let isStopped = false;
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;

  function retry(): void {
    client = undefined;
    if (!isStopped) timer = setTimeout(() => void connect(), reconnectMs);
  }

  async function connect(): Promise<void> {
    const opened = new pg.Client({
      connectionString: options.url.text(),
      connectionTimeoutMillis: 5000,
      application_name: 'curfew listener',
      keepAlive: true,
    });
    client = opened;
    // Without a listener the error would end the process; `end` follows and does what is to be done.
    opened.on('error', () => undefined);
    opened.on('notification', () => options.heard());
    try {
      await opened.connect();
      opened.once('end', retry);
      await opened.query(`LISTEN ${opened.escapeIdentifier(options.channel)}`);
      options.heard();
    } catch {
      // Whoever listens also looks by itself now and then: being deaf for a while only makes it slower.
      if (opened.listenerCount('end') === 0) retry();
      await opened.end().catch(() => undefined);
    }
  }

  void connect();
  return {
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await client?.end().catch(() => undefined);
    },
  };
}
