import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Secret } from '../runtime/secret.ts';
import { urlsOf } from './postgres-hosts.ts';

export type ListenOptions = {
  /** Called for each notification, and after each connection: something may have been missed. */
  onNotification(): void;
  /** Called when notifications begin to arrive, or cease to. */
  onReceivingChange?(isReceiving: boolean): void;
  /** Between two tests whether notifications arrive; ms. Default 30 s. */
  readonly probeEveryMs?: number;
  /** How long a test's own notification may take; ms. Default 5 s. */
  readonly probeTimeoutMs?: number;
};

/** A standing subscription. */
export type NotificationListener = {
  /**
   * Whether notifications arrive: one sent as a test has come back. They don't while the connection is down, and never
   * through a pooler in transaction mode, which takes the subscription and delivers nothing.
   */
  isReceiving(): boolean;
  /** Ends it; further calls do nothing. */
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

/** Listens for PostgreSQL notifications on a connection of its own, which is opened again when it breaks or is deaf. */
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

  /** @returns how long to wait for another attempt; ms */
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
      // The outbox is looked at now and then in any case: without notifications it only takes longer.
      this.#host += 1;
      return reconnectMs;
    } finally {
      signal.removeEventListener('abort', end);
      end();
    }
  }

  #note(isReceiving: boolean): void {
    if (isReceiving === this.#isReceiving) return;
    // That they arrive at first is as expected.
    if (this.#isReceiving !== undefined || !isReceiving) this.#options.onReceivingChange?.(isReceiving);
    this.#isReceiving = isReceiving;
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal, ref: false }).catch(() => undefined);
  }
}

/** What became of a notification sent as a test; `undelivered` although the database has taken it. */
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
    // Without a listener the error would end the process; `end` follows and does what is to be done.
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

  /** At once: nothing is to be said to a server that may not answer. */
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
