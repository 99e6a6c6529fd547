import { Fault } from '../runtime/fault.ts';
import { Backoff } from '../redis/back-off.ts';
import type { ReadHead } from '../revocation-log/head.ts';
import {
  isDatabaseOnly,
  type LeaderCommand,
  type LeaderOptions,
  type LeaderReply,
  type LeaderRole,
} from './leader-options.ts';
import type { LogStatus, WriteRefusal, Takeover } from './log-writes.ts';
import { EpochSeeder } from './epoch-seeder.ts';
import { EpochWriter } from './epoch-writer.ts';
import { taskWaitMs, type Leadership, type SeenLease, type LeaderTask } from './leader-task.ts';

/** Time between two renewals of the lease; ms. The lease lasts 3 s by the database's clock. */
const renewEveryMs = 1000;
const takeEveryMs = 1000;
/** A lease that wasn't renewed for this long is stuck, whatever the database's clock says; ms. */
const stuckAfterMs = 9000;
const refusedRetryMs = 5000;
/** An epoch that lasted this long resets the back-off of reseeds; ms. */
const stableEpochMs = 10_000;

export type ReseedCause = LogStatus | 'start' | 'import';

export type LeaderEvents = {
  reseed(cause: ReseedCause): void;
  /** Readers can see these rows in the log. The database marks them as published next. */
  published(ids: readonly number[]): void;
};

const noEvents: LeaderEvents = { reseed: () => undefined, published: () => undefined };

/**
 * The writer's state machine. It returns one command at a time and does no I/O. A replica without the lease
 * only tries to take it. The replica that holds the lease starts its own epoch and writes it until another
 * replica takes the lease. If the log isn't as the leader left it, the leader starts a new epoch and seeds it
 * from the database.
 */
export class Leader {
  readonly #options: LeaderOptions;
  readonly #events: LeaderEvents;
  readonly #reseedBackoff: Backoff;
  readonly #failureBackoff: Backoff;
  #hasRedis = false;
  #inFlight: LeaderCommand | undefined;
  /** After a failed command, `next` returns nothing until then. */
  #notBeforeMs = -Infinity;
  /** After a failed epoch, `next` only renews the lease until then. */
  #pauseUntilMs = -Infinity;
  /** Undefined while another replica leads. */
  #lead: Leadership | undefined;
  #seen: SeenLease | undefined;
  #takeAtMs = -Infinity;
  #lastHeadEpoch = 0;

  constructor(options: LeaderOptions, events: LeaderEvents = noEvents) {
    this.#options = options;
    this.#events = events;
    const { random } = options;
    this.#reseedBackoff = new Backoff({ firstMs: 100, maxMs: 5000, random });
    this.#failureBackoff = new Backoff({ firstMs: 50, maxMs: 1000, random });
  }

  redisReady(): void {
    this.#hasRedis = true;
  }

  /**
   * The connection ended. Without one the lease isn't renewed, so that a replica with a connection can take
   * it.
   */
  redisLost(): void {
    this.#hasRedis = false;
  }

  /** Rows were committed. */
  wake(): void {
    if (this.#lead?.task.kind === 'write') this.#lead.task.writer.wake();
  }

  /**
   * The command to run now. The caller then calls `done` or `failed`. Undefined if nothing is to be
   * done for `waitMs`.
   */
  next(): LeaderCommand | undefined {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#inFlight !== undefined || nowMs < this.#notBeforeMs) return undefined;
    const command = this.#choose(nowMs);
    if (command === undefined || (!this.#hasRedis && !isDatabaseOnly(command))) return undefined;
    this.#inFlight = command;
    return command;
  }

  /** When to call `next` again; ms. */
  waitMs(): number {
    const nowMs = this.#options.clock.monotonicMs();
    if (!this.#hasRedis) return renewEveryMs;
    if (nowMs < this.#notBeforeMs) return this.#notBeforeMs - nowMs;
    const lead = this.#lead;
    if (lead === undefined) return Math.max(0, this.#takeAtMs - nowMs);
    const { task } = lead;
    const untilRenewal = lead.renewedMs + renewEveryMs - nowMs;
    return Math.max(0, Math.min(untilRenewal, Math.max(this.#pauseUntilMs - nowMs, taskWaitMs(task, nowMs))));
  }

  /** The command failed or got no answer. `next` returns it again unchanged, if it is still needed. */
  failed(): void {
    this.#inFlight = undefined;
    this.#notBeforeMs = this.#options.clock.monotonicMs() + this.#failureBackoff.next();
  }

  done(reply: LeaderReply): void {
    const command = this.#inFlight;
    if (command?.kind !== reply.kind)
      throw new Fault('ERR_INTERNAL', `reply to ${reply.kind} while ${command?.kind ?? 'nothing'} was asked`);
    this.#inFlight = undefined;
    this.#failureBackoff.reset();
    const nowMs = this.#options.clock.monotonicMs();
    if (reply.kind === 'take') return this.#taken(reply, nowMs);
    const lead = this.#lead;
    if (lead === undefined) return;
    if (reply.kind === 'renew') {
      if (reply.epoch !== lead.epoch) return this.#stepDown();
      lead.renewedMs = nowMs;
      return;
    }
    // Rows count only if this process held the lease when the same statement read them.
    if ('rows' in reply && (reply.holder !== this.#options.holder || reply.epoch !== lead.epoch))
      return this.#stepDown();
    this.#proceed(lead, reply, nowMs);
  }

  get role(): LeaderRole {
    switch (this.#lead?.task.kind) {
      case undefined:
        return 'following';
      case 'write':
        return 'leading';
      case 'refused':
        return 'refused';
      case 'head':
      case 'import':
      case 'raise':
      case 'seed':
        return 'seeding';
    }
  }

  /** The lease's epoch while this process holds the lease. */
  get epoch(): number | undefined {
    return this.#lead?.epoch;
  }

  /** The position in the epoch that this process writes. */
  get writer(): { readonly seq: number; readonly beat: number } | undefined {
    return this.#lead?.task.kind === 'write' ? this.#lead.task.writer : undefined;
  }

  /** The other owner that the log belongs to. */
  get refusedBy(): string | undefined {
    return this.#lead?.task.kind === 'refused' ? this.#lead.task.by : undefined;
  }

  #choose(nowMs: number): LeaderCommand | undefined {
    const lead = this.#lead;
    if (lead === undefined) return nowMs < this.#takeAtMs ? undefined : this.#take(nowMs);
    const { epoch, task } = lead;
    if (this.#hasRedis && nowMs - lead.renewedMs >= renewEveryMs) return { kind: 'renew', epoch };
    if (nowMs < this.#pauseUntilMs) return undefined;
    switch (task.kind) {
      case 'head':
        return { kind: 'head' };
      case 'refused':
        return nowMs < task.untilMs ? undefined : { kind: 'head' };
      case 'import':
        return { kind: 'import', head: task.head };
      case 'raise':
        return { kind: 'raise', epoch, above: task.above };
      case 'seed':
        return task.seeder.next();
      case 'write':
        return task.writer.next(nowMs);
    }
  }

  #take(nowMs: number): LeaderCommand {
    const seen = this.#seen;
    const isStuck = seen !== undefined && nowMs - seen.sinceMs >= stuckAfterMs;
    return { kind: 'take', stuck: isStuck ? { epoch: seen.epoch, renewals: seen.renewals } : undefined };
  }

  #taken(reply: Extract<LeaderReply, { kind: 'take' }>, nowMs: number): void {
    if ('taken' in reply) {
      this.#seen = undefined;
      this.#lead = { epoch: reply.taken, isSpent: false, renewedMs: nowMs, task: { kind: 'head' } };
      return;
    }
    const { epoch, renewals } = reply.held;
    if (this.#seen?.epoch !== epoch || this.#seen.renewals !== renewals)
      this.#seen = { epoch, renewals, sinceMs: nowMs };
    this.#takeAtMs = nowMs + takeEveryMs * (0.75 + this.#options.random() / 4);
  }

  #stepDown(): void {
    this.#lead = undefined;
    this.#takeAtMs = this.#options.clock.monotonicMs() + takeEveryMs;
  }

  #proceed(lead: Leadership, reply: LeaderReply, nowMs: number): void {
    const { task } = lead;
    switch (task.kind) {
      case 'head':
      case 'refused':
        if (reply.kind === 'head') lead.task = this.#afterHead(reply.read, lead, nowMs);
        return;
      case 'import':
        if (reply.kind !== 'import') return;
        if (reply.takeover === undefined) return this.#refused(lead, task.head.owner, nowMs);
        this.#events.reseed('import');
        lead.task = { kind: 'raise', above: task.head.epoch, takeover: reply.takeover };
        return;
      case 'raise':
        if (reply.kind !== 'raise') return;
        if (reply.epoch === undefined) return this.#stepDown();
        lead.epoch = reply.epoch;
        lead.task = this.#seed(lead, task.takeover);
        return;
      case 'seed': {
        const outcome = task.seeder.done(reply);
        if (outcome.kind === 'refused') return this.#restart(lead, outcome, nowMs);
        if (outcome.kind === 'switched') this.#events.published(outcome.ids);
        if (outcome.kind === 'done')
          lead.task = { kind: 'write', writer: new EpochWriter(outcome.state, this.#options, nowMs) };
        return;
      }
      case 'write': {
        const outcome = task.writer.done(reply, nowMs);
        if (outcome.kind === 'published') this.#events.published(outcome.ids);
        if (outcome.kind !== 'refused') return;
        if (nowMs - task.writer.startedMs >= stableEpochMs) this.#reseedBackoff.reset();
        return this.#restart(lead, outcome, nowMs);
      }
    }
  }

  #afterHead(read: ReadHead, lead: Leadership, nowMs: number): LeaderTask {
    // Nobody can rely on a malformed head. The switch replaces it, unless it names another owner.
    if (read.kind !== 'head') return this.#firstSeed(lead);
    const { head } = read;
    this.#lastHeadEpoch = head.epoch;
    if (head.owner === this.#options.owner)
      return head.epoch < lead.epoch
        ? this.#firstSeed(lead)
        : { kind: 'raise', above: head.epoch, takeover: undefined };
    const isOurs =
      head.truth === 'redis' && head.covers.every((issuer) => this.#options.issuers.includes(issuer));
    if (isOurs) return { kind: 'import', head };
    return { kind: 'refused', untilMs: nowMs + refusedRetryMs, by: head.owner };
  }

  #firstSeed(lead: Leadership): LeaderTask {
    this.#events.reseed('start');
    // Another owner held the log meanwhile, and readers may know entries of this epoch from the log before.
    if (lead.isSpent) return { kind: 'raise', above: lead.epoch, takeover: undefined };
    return this.#seed(lead, undefined);
  }

  #seed(lead: Leadership, takeover: Takeover | undefined): LeaderTask {
    const { epoch } = lead;
    lead.isSpent = true;
    const before = this.#lastHeadEpoch;
    return { kind: 'seed', seeder: new EpochSeeder({ ...this.#options, epoch, before, takeover }) };
  }

  /**
   * The log isn't as this leader left it. The leader seeds it again under a higher epoch, after a growing
   * pause.
   */
  #restart(lead: Leadership, found: WriteRefusal, nowMs: number): void {
    this.#lastHeadEpoch = found.epoch;
    if (found.status === 'owner') return this.#refused(lead, found.owner, nowMs);
    this.#events.reseed(found.status);
    lead.task = { kind: 'raise', above: found.epoch, takeover: undefined };
    this.#pauseUntilMs = nowMs + this.#reseedBackoff.next();
  }

  #refused(lead: Leadership, by: string, nowMs: number): void {
    lead.task = { kind: 'refused', untilMs: nowMs + refusedRetryMs, by };
  }
}
