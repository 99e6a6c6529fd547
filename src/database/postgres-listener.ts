import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Secret } from '../runtime/secret.ts';
import { urlsOf } from './postgres-hosts.ts';

export type ListenOptions = {
  /** Called for each notification, and after each connection, because notifications may have been missed. */
  onNotification(): void;
  /** Called when notifications stop arriving, and when they arrive again. */
  onReceivingChange?(isReceiving: boolean): void;
  /** Time between two probes, which test whether notifications arrive; ms. Default 30 s. */
  readonly probeEveryMs?: number;
  /** How long the notification of a probe may take; ms. Default 5 s. */
  readonly probeTimeoutMs?: number;
};

/** A subscription to a channel. */
export type NotificationListener = {
  /**
   * Whether notifications arrive: the notification of the last probe did. None arrive while the connection is
   * down, or through a pooler in transaction mode, which accepts the subscription but delivers nothing.
   */
  isReceiving(): boolean;
  /** Ends the subscription. Further calls have no effect. */
  stop(): Promise<void>;
};

type Options = ListenOptions & {
  readonly url: Pick<Secret, 'text'>;
  /** An identifier of lower-case letters and underscores. */
  readonly channel: string;
  /** Sends a notification on the channel over another connection. */
  notify(payload: string): Promise<void>;
};

const reconnectMs = 1000;
const connectTimeoutMs = 5000;
const keepAliveDelayMs = 10_000;
const probePrefix = 'probe ';

/**
 * Listens for PostgreSQL notifications on its own connection, which is reopened if it ends or if none arrive.
 */
export function listenToPostgres(options: Options): NotificationListener {
  const listening = new ReconnectingListener(options);
  const running = listening.run();
  return {
    isReceiving: () => listening.isReceiving,
    stop: async () => {
      listening.stop();
      await running;
    },
  };
}

class ReconnectingListener {
  readonly #options: Options;
  readonly #stopping = new AbortController();
  /** Undefined until it is known. */
  #isReceiving: boolean | undefined;
  #host = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  get isReceiving(): boolean {
    return this.#isReceiving === true;
  }

  stop(): void {
    this.#stopping.abort();
  }

  async run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const waitMs = await this.#attempt();
      if (signal.aborted) return;
      this.#note(false);
      await this.#pause(waitMs);
    }
  }

  /** @returns how long to wait before the next attempt; ms */
  async #attempt(): Promise<number> {
    const { probeEveryMs = 30_000, probeTimeoutMs = 5000, onNotification } = this.#options;
    const { signal } = this.#stopping;
    const subscription = new Subscription(this.#options, this.#host);
    const end = (): void => subscription.end();
    signal.addEventListener('abort', end);
    try {
      await subscription.open();
      onNotification();
      let probe: Probe = 'lost';
      while (!signal.aborted && (probe = await subscription.probe(probeTimeoutMs)) === 'arrived') {
        this.#note(true);
        await Promise.race([this.#pause(probeEveryMs), subscription.ended]);
      }
      return probe === 'undelivered' ? probeEveryMs : reconnectMs;
    } catch {
      // Not an error: the outbox is polled as well, so without notifications publishing only takes longer.
      this.#host += 1;
      return reconnectMs;
    } finally {
      signal.removeEventListener('abort', end);
      end();
    }
  }

  #note(isReceiving: boolean): void {
    if (isReceiving === this.#isReceiving) return;
    // The first success is expected and isn't reported.
    if (this.#isReceiving !== undefined || !isReceiving) this.#options.onReceivingChange?.(isReceiving);
    this.#isReceiving = isReceiving;
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal, ref: false }).catch(() => undefined);
  }
}

/** The outcome of a probe. `undelivered`: the database accepted the notification, but it didn't arrive. */
type Probe = 'arrived' | 'undelivered' | 'lost';

/** One connection that listens. */
class Subscription {
  readonly #options: Options;
  readonly #client: pg.Client;
  /** Resolves when the connection is gone. */
  readonly ended: Promise<void>;
  readonly #probes = new Map<string, () => void>();

  constructor(options: Options, host: number) {
    this.#options = options;
    const urls = urlsOf(options.url.text());
    this.#client = new pg.Client({
      connectionString: urls[host % urls.length] ?? '',
      connectionTimeoutMillis: connectTimeoutMs,
      application_name: 'curfew listener',
      keepAlive: true,
      keepAliveInitialDelayMillis: keepAliveDelayMs,
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    // Without a listener, the error would end the process. The event `end` follows and is handled.
    this.#client.on('error', () => undefined);
    this.#client.on('end', resolve);
    this.#client.on('notification', ({ payload = '' }) => this.#notified(payload));
  }

  async open(): Promise<void> {
    await this.#client.connect();
    const { timer, late } = timeout(connectTimeoutMs);
    const listening = this.#client.query(`LISTEN ${this.#client.escapeIdentifier(this.#options.channel)}`);
    const isInTime = await Promise.race([listening.then(() => true), late]);
    clearTimeout(timer);
    if (!isInTime) throw new Error('no answer to LISTEN');
  }

  async probe(timeoutMs: number): Promise<Probe> {
    const payload = `${probePrefix}${randomUUID()}`;
    const { promise: arrived, resolve } = Promise.withResolvers<Probe>();
    this.#probes.set(payload, () => resolve('arrived'));
    const { timer, late } = timeout(timeoutMs);
    const undelivered = this.#options.notify(payload).then(
      () => late.then(() => 'undelivered' as const),
      () => 'lost' as const,
    );
    const lost = Promise.race([this.ended, late.then(() => nextTurn())]).then(() => 'lost' as const);
    const outcome = await Promise.race([arrived, undelivered, lost]);
    clearTimeout(timer);
    this.#probes.delete(payload);
    return outcome;
  }

  /** Closes the socket without a goodbye message, because the server may not answer. */
  end(): void {
    this.#client.connection.stream.destroy();
  }

  #notified(payload: string): void {
    if (payload.startsWith(probePrefix)) this.#probes.get(payload)?.();
    else this.#options.onNotification();
  }
}

function timeout(ms: number): { timer: NodeJS.Timeout; late: Promise<boolean> } {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  return { timer: setTimeout(() => resolve(false), ms), late: promise };
}
