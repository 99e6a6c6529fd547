import { randomUUID } from 'node:crypto';
import { isDatabaseUnavailable } from '../runtime/fault.ts';
import type { Part } from '../runtime/lifecycle.ts';

import { describeRedis } from '../redis/connection.ts';

import { runCommand } from './command-runner.ts';
import type { LeaderCommand } from './leader-options.ts';
import { Leader } from './leader.ts';
import { OutboxLease } from './outbox-lease.ts';
import { createOutbox, wakeChannel, type Outbox } from './outbox.ts';
import type { PublisherOptions, PublisherStatus } from './publisher-options.ts';
import { PublisherReport, describeOtherOwner } from './publisher-report.ts';
import { RedisSession } from './redis-session.ts';
import { logRetentionSeconds } from './retention.ts';
import type { NotificationListener } from '../database/postgres-listener.ts';

/**
 * The owner of a revocation log. It records revocations in the database and, while it leads, writes them to
 * Redis.
 */
export type Publisher = Part & Outbox & { status(): PublisherStatus };

/** Time between two drains while no notifications of other processes arrive, and while they do; ms. */
const pollMs = 50;
const notifiedPollMs = 500;
const measureEveryMs = 5000;
/** How long `stop` continues to publish recorded revocations; ms. */
const lastDrainMs = 1000;

/**
 * Makes the owner's publisher. Several may run on one database, and one of them leads. `start` needs the
 * database, but not Redis.
 * @throws from `start`: ERR_DATABASE
 */
export function createPublisher(options: PublisherOptions): Publisher {
  const outbox = createOutbox(options);
  const driver = new Driver(options, (ids) => outbox.signals.published(ids));
  outbox.signals.onWake = () => driver.wake();
  return {
    name: 'publisher',
    recordEvents: outbox.recordEvents,
    wake: outbox.wake,
    waitUntilPublished: outbox.waitUntilPublished,
    start: () => driver.start(),
    stop: () => driver.stop(),
    status: () => driver.status(),
  };
}

type Running = {
  readonly owner: string;
  readonly leader: Leader;
  readonly redis: RedisSession;
  readonly working: Promise<void>;
};

/** Runs the leader's commands, one at a time. */
class Driver {
  readonly #options: PublisherOptions;
  readonly #published: (ids: readonly number[]) => void;
  readonly #holder = randomUUID();
  readonly #retentionSeconds: number;
  readonly #lease: OutboxLease;
  readonly #report: PublisherReport;
  #running: Running | undefined;
  #listener: NotificationListener | undefined;
  #measuring: NodeJS.Timeout | undefined;
  #wakeUp: () => void = () => undefined;
  #stopAtMs = Infinity;

  constructor(options: PublisherOptions, published: (ids: readonly number[]) => void) {
    this.#options = options;
    this.#published = published;
    this.#report = new PublisherReport(options);
    const { database, issuers, clockToleranceMs } = options;
    const maxTokenLifetimeMs = Math.max(...issuers.map((issuer) => issuer.maxTokenLifetimeMs));
    this.#retentionSeconds = logRetentionSeconds({ maxTokenLifetimeMs, clockToleranceMs });
    this.#lease = new OutboxLease({
      database,
      holder: this.#holder,
      retentionSeconds: this.#retentionSeconds,
    });
  }

  async start(): Promise<void> {
    const owner = await this.#lease.owner(this.#options.owner);
    const leader = this.#createLeader(owner);
    const redis = this.#createSession(owner, leader);
    redis.start();
    this.#running = { owner, leader, redis, working: this.#work(owner, leader, redis) };
    this.#listener = this.#options.database.listen(wakeChannel, {
      onNotification: () => this.wake(),
      onReceivingChange: (isReceiving) => this.#report.receiving(isReceiving),
    });
    this.#measuring = setInterval(() => void this.#report.measure(this.#lease), measureEveryMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#measuring);
    await this.#listener?.stop();
    this.#stopAtMs = this.#options.clock.monotonicMs() + lastDrainMs;
    this.wake();
    await this.#running?.working;
    await this.#running?.redis.stop();
    const epoch = this.#running?.leader.epoch;
    this.#options.metrics.logLeader.set(0);
    // Without this, another replica has to wait until the lease expires.
    if (epoch !== undefined) await this.#release(epoch);
  }

  wake(): void {
    this.#running?.leader.wake();
    this.#wakeUp();
  }

  status(): PublisherStatus {
    const { leader, redis, owner } = this.#running ?? {};
    const refused =
      leader?.role === 'refused' ? describeOtherOwner(leader, this.#options.logName) : undefined;
    return {
      log: this.#options.logName,
      address: describeRedis(this.#options.redis),
      connected: redis?.isReady ?? false,
      owner,
      role: leader?.role ?? 'starting',
      epoch: leader?.epoch,
      seq: leader?.writer?.seq,
      beat: leader?.writer?.beat,
      pending: this.#report.pending,
      problem: refused ?? redis?.problem ?? this.#report.failure,
    };
  }

  #createLeader(owner: string): Leader {
    const { issuers, clock, metrics, clockToleranceMs, random = Math.random } = this.#options;
    const currentPollMs = (): number => (this.#listener?.isReceiving() === true ? notifiedPollMs : pollMs);
    return new Leader(
      {
        holder: this.#holder,
        owner,
        issuers: issuers.map(({ issuer }) => issuer),
        retentionSeconds: this.#retentionSeconds,
        clockToleranceSeconds: clockToleranceMs / 1000,
        clock,
        random,
        get pollMs() {
          return currentPollMs();
        },
      },
      { reseed: (cause) => metrics.logReseeds.inc({ cause }), published: this.#published },
    );
  }

  #createSession(owner: string, leader: Leader): RedisSession {
    const { redis, clock, log, logName, issuers, random = Math.random } = this.#options;
    const covers = issuers.map(({ issuer }) => issuer);
    return new RedisSession({
      redis,
      clock,
      log,
      random,
      writer: { logName, owner, covers, retentionSeconds: this.#retentionSeconds },
      onReady: () => {
        leader.redisReady();
        this.#wakeUp();
      },
      onLost: () => leader.redisLost(),
    });
  }

  async #work(owner: string, leader: Leader, redis: RedisSession): Promise<void> {
    for (;;) {
      if (this.#options.clock.monotonicMs() >= this.#stopAtMs) return;
      const command = leader.next();
      if (command !== undefined) await this.#run(command, leader, redis);
      else if (this.#stopAtMs < Infinity) return;
      else await this.#sleep(leader.waitMs());
      this.#report.role(leader, owner);
    }
  }

  async #run(command: LeaderCommand, leader: Leader, redis: RedisSession): Promise<void> {
    try {
      leader.done(await runCommand(command, { lease: this.#lease, redis }));
      this.#report.succeeded();
    } catch (thrown) {
      leader.failed();
      this.#report.failed(command, thrown);
    }
  }

  async #release(epoch: number): Promise<void> {
    try {
      await this.#lease.release(epoch);
    } catch (thrown) {
      if (!isDatabaseUnavailable(thrown)) throw thrown;
      this.#options.log.warn('cannot release the lease of the revocation log: it expires by itself', {
        err: thrown,
      });
    }
  }

  /** Waits until `ms` have passed or `#wakeUp` is called. */
  async #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wakeUp = resolve;
    const timer = setTimeout(resolve, Math.max(1, Math.ceil(ms)));
    await promise;
    clearTimeout(timer);
  }
}
