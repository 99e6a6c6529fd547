import type { Redis } from 'ioredis';
import { Fault } from '../runtime/fault.ts';
import { Backoff, pause } from '../redis/back-off.ts';
import { ConnectionPatience } from './connection-patience.ts';
import { FeedReport } from './feed-report.ts';
import type { FeedStatus, RevocationFeed, RevocationFeedOptions } from './feed.ts';
import { headFields } from '../revocation-log/head.ts';
import { createRevocations } from './exposure-rule.ts';
import { logKeys, type LogKeys } from '../revocation-log/keys.ts';
import { closeRedis, describeRedis, holdRedis, type RedisConnection } from '../redis/connection.ts';
import { readPage } from '../revocation-log/redis-page.ts';
import { readSource } from './redis-source.ts';
import type { Revocations } from './revocable.ts';
import { RevocationList } from './revocation-list.ts';
import type { ViewCommand } from './view-options.ts';
import { View } from './view.ts';

const tickMs = 1000;
/** A connection that lasted this long resets the back-off; ms. */
const stableConnectionMs = 5000;

/**
 * Makes the revocation feed of a process: `View`, driven by one connection to Redis for messages and reads.
 * `start` returns at once. Until the log was read, only tokens younger than `maxExposure` are accepted.
 */
export const createRevocationFeed = (options: RevocationFeedOptions): RevocationFeed =>
  new RedisFeed(options);

type Connection = RedisConnection & { readonly sinceMs: number };

class RedisFeed implements RevocationFeed {
  readonly name = 'revocation feed';
  readonly revocations: Revocations;
  readonly #options: RevocationFeedOptions;
  readonly #keys: LogKeys;
  readonly #list: RevocationList;
  readonly #report: FeedReport;
  readonly #view: View;
  readonly #backoff: Backoff;
  readonly #waiters = new Set<() => void>();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #ticker: NodeJS.Timeout | undefined;
  #waitTimer: NodeJS.Timeout | undefined;
  #connection: Connection | undefined;
  #wasSynced = false;
  readonly #patience = new ConnectionPatience();

  constructor(options: RevocationFeedOptions) {
    const { issuers, maxEntries, maxExposureMs, clock, redis, random = Math.random } = options;
    this.#options = options;
    this.#keys = logKeys(options.logName);
    this.#report = new FeedReport({ ...options, address: describeRedis(redis) });
    this.#list = new RevocationList({
      issuers,
      maxEntries,
      onOverflow: (flooded) => this.#report.overflow(flooded),
    });
    this.#view = new View({ issuers, list: this.#list, maxExposureMs, clock, random, report: this.#report });
    this.revocations = createRevocations(this.#view, clock);
    this.#backoff = new Backoff({ firstMs: 50, maxMs: 2000, random });
  }

  start(): void {
    this.#ticker = setInterval(() => {
      this.#run(this.#view.tick());
      this.#viewChanged();
    }, tickMs);
    this.#running = this.#stayConnected();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#ticker);
    if (this.#connection !== undefined) closeRedis(this.#connection.client);
    for (const resolve of this.#waiters) resolve();
    await this.#running;
  }

  wasSynced(): boolean {
    return this.#wasSynced;
  }

  async waitForSync(timeoutMs: number): Promise<boolean> {
    if (this.#wasSynced) return true;
    if (timeoutMs <= 0) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.add(resolve);
    const timer = timeoutMs === Infinity ? undefined : setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
    this.#waiters.delete(resolve);
    return this.#wasSynced;
  }

  status(): FeedStatus {
    const head = this.#report.lastHead;
    const stalenessMs = this.#view.worstStalenessMs();
    const unproven = this.#view.unproven();
    return {
      state: this.#view.state,
      stalenessMs: stalenessMs === Infinity ? null : Math.round(stalenessMs),
      log: this.#options.logName,
      address: describeRedis(this.#options.redis),
      connected: this.#view.isSubscribed,
      owner: head?.owner,
      truth: head?.truth,
      covers: head?.covers ?? [],
      uncovered: unproven.filter(({ cause }) => cause === 'uncovered').map(({ issuer }) => issuer),
      unproven,
      epoch: head?.epoch,
      seq: head?.seq,
      applied: this.#view.applied,
      beat: head?.beat,
      retentionSeconds: this.#view.retentionSeconds,
      entries: this.#list.counts(),
      floors: this.#list.floors(),
      lastEvents: this.#report.lastEvents(),
    };
  }

  async #stayConnected(): Promise<void> {
    const { signal } = this.#stopping;
    const { log, redis, clock } = this.#options;
    let isFirst = true;
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      const reason = await this.#session().catch((thrown: unknown) => thrown);
      const wasConnected = this.#view.isSubscribed;
      this.#view.closed();
      clearTimeout(this.#waitTimer);
      this.#viewChanged();
      if (signal.aborted) return;
      const wasStable = clock.monotonicMs() - startedMs >= stableConnectionMs;
      if (wasStable) this.#backoff.reset();
      const level = isFirst || wasStable ? 'warn' : 'debug';
      const fields = { address: describeRedis(redis), err: reason };
      log[level](wasConnected ? 'lost connection to Redis' : 'cannot connect to Redis', fields);
      isFirst = false;
      await pause(this.#backoff.next(), signal);
    }
  }

  /** Runs one connection from its start to its end. @returns why it ended */
  async #session(): Promise<unknown> {
    const { redis, log } = this.#options;
    const connection = await holdRedis(redis, { connectionName: 'curfew-feed' });
    const { client } = connection;
    client.on('message', (_channel: string, text: string) => this.#run(this.#view.message(text)));
    this.#connection = { ...connection, sinceMs: this.#options.clock.monotonicMs() };
    try {
      if (this.#stopping.signal.aborted) return undefined;
      const source = await readSource(client);
      await client.subscribe(this.#keys.events);
      log.info('connected to Redis', { address: describeRedis(redis) });
      this.#run(this.#view.subscribed(source));
      return await connection.ended;
    } finally {
      this.#connection = undefined;
      closeRedis(client);
    }
  }

  #run(commands: readonly ViewCommand[]): void {
    for (const command of commands) this.#execute(command);
  }

  #execute(command: ViewCommand): void {
    switch (command.kind) {
      case 'probe':
        return this.#ask(
          (client) => Promise.all([client.hmget(this.#keys.head, ...headFields), readSource(client)]),
          ([values, source]) => {
            this.#run(this.#view.head(command.ticket, values, source));
            this.#viewChanged();
          },
        );
      case 'read':
        return this.#ask(
          (client) => readPage(client, this.#keys.log(command.epoch), command),
          (reply) => this.#run(this.#view.page(command.ticket, reply)),
        );
      case 'disconnect':
        return this.#connection?.fail(new Fault('ERR_REDIS_UNAVAILABLE', 'Redis is a replica'));
      case 'wait':
        clearTimeout(this.#waitTimer);
        this.#waitTimer = setTimeout(() => this.#run(this.#view.tick()), command.ms);
    }
  }

  /**
   * A failed command closes the connection. The next connection continues with the entries that are known.
   */
  #ask<T>(command: (client: Redis) => Promise<T>, answer: (reply: T) => void): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    command(connection.client).then(answer).catch(connection.fail);
  }

  /** Call when the state of the view may have changed. */
  #viewChanged(): void {
    const view = this.#view;
    this.#options.onEvent?.({ kind: 'status', status: this.status() });
    this.#report.update(view, this.#list);
    const connection = this.#connection;
    const connectedMs = connection && this.#options.clock.monotonicMs() - connection.sinceMs;
    if (this.#patience.isOver(view, connectedMs))
      connection?.fail(
        new Fault('ERR_REDIS_UNAVAILABLE', 'the revocation log was not proven current in time'),
      );
    if (this.#wasSynced || !view.isSynced) return;
    this.#wasSynced = true;
    for (const resolve of this.#waiters) resolve();
  }
}
