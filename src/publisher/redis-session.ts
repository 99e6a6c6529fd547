import type { Clock } from '../runtime/clock.ts';
import { Fault } from '../runtime/fault.ts';
import type { Log } from '../runtime/log.ts';
import { Backoff, pause } from '../redis/back-off.ts';
import {
  closeRedis,
  describeRedis,
  holdRedis,
  type RedisConnection,
  type RedisOptions,
} from '../redis/connection.ts';
import { RedisLog, type RedisLogOptions } from './redis-log.ts';

export type RedisSessionOptions = {
  readonly redis: RedisOptions;
  readonly writer: Omit<RedisLogOptions, 'client'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  onReady(): void;
  onLost(): void;
};

const commandTimeoutMs = 2000;
/** A connection that lasted this long resets the back-off; ms. */
const stableConnectionMs = 5000;

/**
 * The writer's connection to Redis. It is reopened when it ends, and each time the permissions are checked.
 */
export class RedisSession {
  readonly #options: RedisSessionOptions;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #current: (RedisConnection & { readonly log: RedisLog }) | undefined;
  #problem: string | undefined;
  #policy: string | undefined;

  constructor(options: RedisSessionOptions) {
    this.#options = options;
    this.#backoff = new Backoff({ firstMs: 50, maxMs: 2000, random: options.random });
  }

  start(): void {
    this.#running = this.#stayConnected();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#current !== undefined) closeRedis(this.#current.client);
    await this.#running;
  }

  get isReady(): boolean {
    return this.#current !== undefined;
  }

  /** Why there is no connection. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /**
   * Runs calls to the log. A failed call closes the connection: it may still take effect, and later calls
   * must not overtake it.
   */
  async use<T>(call: (log: RedisLog) => Promise<T>): Promise<T> {
    const current = this.#current;
    if (current === undefined) throw new Fault('ERR_REDIS_UNAVAILABLE', 'no connection to Redis');
    try {
      return await call(current.log);
    } catch (thrown) {
      current.fail(thrown);
      throw thrown;
    }
  }

  async #stayConnected(): Promise<void> {
    const { signal } = this.#stopping;
    const { clock, onLost } = this.#options;
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      const reason = await this.#session().catch((thrown: unknown) => thrown);
      const wasReady = this.#current !== undefined;
      this.#current = undefined;
      if (wasReady) onLost();
      if (signal.aborted) return;
      if (clock.monotonicMs() - startedMs >= stableConnectionMs) this.#backoff.reset();
      this.#report(reason, wasReady);
      await pause(this.#backoff.next(), signal);
    }
  }

  /** Runs one connection from its start to its end. @returns why it ended */
  async #session(): Promise<unknown> {
    const { redis, writer, onReady } = this.#options;
    const connection = await holdRedis(redis, { connectionName: 'curfew-publisher', commandTimeoutMs });
    const { client } = connection;
    try {
      const log = new RedisLog({ ...writer, client });
      await log.checkRights();
      await this.#checkPolicy(log);
      if (this.#stopping.signal.aborted) return undefined;
      this.#current = { ...connection, log };
      this.#problem = undefined;
      this.#options.log.info('connected to Redis', { address: describeRedis(redis) });
      onReady();
      return await connection.ended;
    } finally {
      closeRedis(client);
    }
  }

  async #checkPolicy(log: RedisLog): Promise<void> {
    const policy = await log.evictionPolicy();
    if (policy !== undefined && policy !== 'noeviction' && policy !== this.#policy)
      this.#options.log.warn('Redis may evict the revocation log: set maxmemory-policy noeviction', {
        found: policy,
      });
    this.#policy = policy;
  }

  #report(reason: unknown, wasReady: boolean): void {
    const { log, redis } = this.#options;
    const problem = reason instanceof Error ? reason.message : 'the connection to Redis ended';
    const fields = { address: describeRedis(redis), err: reason };
    const level = wasReady || problem !== this.#problem ? 'error' : 'debug';
    log[level](wasReady ? 'lost connection to Redis' : 'cannot connect to Redis', fields);
    this.#problem = problem;
  }
}
