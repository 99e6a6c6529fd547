import { Leader } from '../../../src/publisher/leader.ts';
import type { LeaderCommand, LeaderReply } from '../../../src/publisher/leader-options.ts';
import { readHead } from '../../../src/revocation-log/head.ts';
import type { Database } from './database.ts';
import { Connection, logReply, values } from './redis.ts';
import type { MessageFaults, RedisReply, RedisRequest, RedisServer } from './redis.ts';
import type { Writer } from './redis-state.ts';
import { Process } from './world.ts';

export type ReplicaOptions = {
  readonly database: Database;
  readonly writer: Writer;
  /** The Redis to which a new connection leads; undefined while there is none. */
  master(): RedisServer | undefined;
  /** The database's clock; ms. */
  databaseMs(): number;
  readonly clockToleranceSeconds: number;
  readonly drainSize: number;
  readonly seedSize: number;
  readonly pollMs: number;
};

/** The next statement of this kind, or its answer, is late. `started` is called when the delay starts. */
type Late = { readonly statement: string; readonly isReply: boolean; readonly ms: number; started(): void };

const noFaults: MessageFaults = { drop: 0, duplicate: 0, reorder: 0 };
let replicas = 0;

/** One process of the owner: the real leader with a simulated database and a simulated Redis. */
export class Replica extends Process {
  readonly #options: ReplicaOptions;
  readonly #holder = `replica-${(replicas += 1)}`;
  readonly #leader: Leader;
  /** True time from which it can do its work. */
  healthyAt = 0;
  /** Until then it can't connect to Redis. */
  cutOffUntil = 0;
  /** Until then the database doesn't answer. */
  withoutDatabaseUntil = 0;
  #connection: Connection | undefined;
  #isWaiting = false;
  #command: LeaderCommand['kind'] | undefined;
  #late: Late | undefined;

  constructor(options: ReplicaOptions) {
    super(options.database.world);
    this.#options = options;
    const { writer, clockToleranceSeconds, drainSize, seedSize, pollMs } = options;
    this.#leader = new Leader({
      holder: this.#holder,
      owner: writer.owner,
      issuers: writer.covers,
      retentionSeconds: writer.retentionSeconds,
      clockToleranceSeconds,
      clock: this.world.clock(),
      random: () => this.world.random.next(),
      pollMs,
      drainSize,
      seedSize,
    });
    this.#connect();
    this.#work();
  }

  get isLeading(): boolean {
    return this.#leader.role === 'leading';
  }

  wake(): void {
    this.#leader.wake();
    this.#work();
  }

  delay(late: Late): void {
    this.#late = late;
  }

  cutConnection(): void {
    this.#connection?.drop();
  }

  /** The connection stays open, but the network drops its packets. */
  blackhole(): void {
    if (this.#connection !== undefined) this.#connection.isDead = true;
  }

  override kill(): void {
    super.kill();
    this.#connection?.close();
  }

  #connect(): void {
    const master = this.#options.master();
    if (this.world.now < this.cutOffUntil || master?.isUp !== true) return this.#later();
    this.after(2 * this.world.latency(), () => {
      if (!master.isUp || this.world.now < this.cutOffUntil) return this.#later();
      this.#connection = new Connection(master, this, noFaults, () => {
        this.#connection = undefined;
        this.#leader.redisLost();
        this.#later();
      });
      this.#leader.redisReady();
      this.#work();
    });
  }

  #later(): void {
    this.after(this.world.random.between(50, 1000), () => this.#connect());
  }

  #work(): void {
    if (!this.isAlive) return;
    const command = this.#leader.next();
    if (command !== undefined) return this.#execute(command);
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.after(Math.max(1, this.#leader.waitMs()), () => {
      this.#isWaiting = false;
      this.#work();
    });
  }

  #execute(command: LeaderCommand): void {
    this.#command = command.kind;
    const { database, databaseMs, writer } = this.#options;
    const holder = this.#holder;
    switch (command.kind) {
      case 'take':
        return this.#onDatabase(() => database.take(holder, command.stuck));
      case 'renew':
        return this.#onDatabase(() => ({ kind: 'renew', epoch: database.renew(holder, command.epoch) }));
      case 'raise':
        return this.#onDatabase(() => ({
          kind: 'raise',
          epoch: database.raise(holder, command.epoch, command.above),
        }));
      case 'standing':
        return this.#onDatabase(() => ({ kind: 'standing', ...database.standing(databaseMs()) }));
      case 'page':
        return this.#onDatabase(() => ({
          kind: 'page',
          ...database.page(command.after, command.limit, databaseMs()),
        }));
      case 'drain':
        return this.#onDatabase(() => ({ kind: 'drain', ...database.drain(command.limit, databaseMs()) }));
      case 'mark':
        return this.#onDatabase(() => {
          database.mark(command.rows);
          return { kind: 'mark' };
        });
      case 'prune':
        return this.#onDatabase(() => ({ kind: 'prune' }));
      case 'head':
        return this.#onRedis({ kind: 'head' }, (reply) => ({ kind: 'head', read: readHead(values(reply)) }));
      case 'import':
        return this.#finish({ kind: 'import', takeover: undefined });
      case 'seed':
        return this.#onRedis({ kind: 'seed', writer, call: command }, (reply) => ({
          kind: 'seed',
          reply: logReply(reply),
        }));
      case 'switch':
        return this.#onRedis({ kind: 'switch', writer, call: command }, (reply) => ({
          kind: 'switch',
          reply: logReply(reply),
        }));
      case 'append':
        return this.#onRedis({ kind: 'append', writer, call: command }, (reply) => ({
          kind: 'append',
          reply: logReply(reply),
        }));
      case 'expire':
        return this.#onRedis({ kind: 'expire', epochs: command.epochs }, () => ({ kind: 'expire' }));
    }
  }

  #onDatabase(statement: () => LeaderReply): void {
    const { world } = this;
    if (world.now < this.withoutDatabaseUntil) return this.after(1000, () => this.#fail());
    const late = this.#late?.statement === this.#command ? this.#late : undefined;
    if (late !== undefined) {
      this.#late = undefined;
      late.started();
    }
    const pageMs = this.#command === 'page' ? world.random.between(0, world.pageMs) : 0;
    world.after(world.latency() + pageMs + (late?.isReply === false ? late.ms : 0), () => {
      const reply = statement();
      world.after(world.latency() + (late?.isReply === true ? late.ms : 0), () =>
        this.run(() => this.#finish(reply)),
      );
    });
  }

  #onRedis(request: RedisRequest, answer: (reply: RedisReply) => LeaderReply): void {
    const connection = this.#connection;
    if (connection === undefined) return this.#fail();
    let isOver = false;
    const send = (): void =>
      connection.request(request, (reply) => {
        if (isOver) return;
        isOver = true;
        this.#finish(answer(reply));
      });
    const pauseMs = request.kind === 'switch' ? this.world.random.between(0, this.world.pageMs) : 0;
    if (pauseMs > 0) this.after(pauseMs, send);
    else send();
    connection.onClosedToo = () => {
      if (isOver) return;
      isOver = true;
      this.#fail();
    };
  }

  #finish(reply: LeaderReply): void {
    this.#leader.done(reply);
    this.#work();
  }

  #fail(): void {
    this.#leader.failed();
    this.#work();
  }
}
