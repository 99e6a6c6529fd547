import { Fault } from '../runtime/fault.ts';
import { Backoff } from '../redis/back-off.ts';
import type { Head, ReadHead } from '../revocation-log/head.ts';
import {
  isDatabaseOnly,
  type LeaderCommand,
  type LeaderOptions,
  type LeaderReply,
  type LeaderRole,
  type LeaseSeen,
} from './leader-options.ts';
import type { LogStatus, WriteRefusal, Takeover } from './log-writes.ts';
import { EpochSeeder } from './epoch-seeder.ts';
import { EpochWriter } from './epoch-writer.ts';

/** The lease lasts 3 s by the database's clock; ms. */
const renewEveryMs = 1000;
const takeEveryMs = 1000;
/** A lease that shows no sign of life this long is stuck, whatever the database's clock says; ms. */
const stuckAfterMs = 9000;
const refusedRetryMs = 5000;
/** An epoch that lasted this long was a good one; ms. */
const goodEpochMs = 10_000;

/** What the leader is at. `epoch` is the lease's; `isSpent` once a log was begun under it: no other may be. */
type Task =
  | { readonly kind: 'head' }
  | { readonly kind: 'refused'; readonly untilMs: number; readonly by: string }
  | { readonly kind: 'import'; readonly head: Head }
  | { readonly kind: 'raise'; readonly above: number; readonly takeover: Takeover | undefined }
  | { readonly kind: 'seed'; readonly seeder: EpochSeeder }
  | { readonly kind: 'write'; readonly writer: EpochWriter };

type Lead = { epoch: number; isSpent: boolean; renewedMs: number; task: Task };
type Seen = LeaseSeen & { readonly sinceMs: number };

export type ReseedCause = LogStatus | 'start' | 'import';

/** What others may want to know. */
export type LeaderEvents = {
  reseed(cause: ReseedCause): void;
  /** Rows are in the log for readers to see; the database learns of it next. */
  published(ids: readonly number[]): void;
};

const noEvents: LeaderEvents = { reseed: () => undefined, published: () => undefined };

/**
 * The writer's state machine. It asks for one command at a time and does nothing itself. A replica that doesn't hold
 * the lease only asks for it; one that does makes an epoch of its own and writes it, until the lease is another's.
 * Whatever the log answers but what the leader expects makes a new epoch, seeded from the database.
 */
export class Leader {
  readonly #options: LeaderOptions;
  readonly #events: LeaderEvents;
  readonly #reseedBackoff: Backoff;
  readonly #failureBackoff: Backoff;
  #hasRedis = false;
  #inFlight: LeaderCommand | undefined;
  /** After a failure nothing is asked for until then. */
  #notBeforeMs = -Infinity;
  /** Between two attempts at an epoch nothing but the lease is. */
  #pauseUntilMs = -Infinity;
  /** Undefined while another replica leads. */
  #lead: Lead | undefined;
  #seen: Seen | undefined;
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

  /** The connection is gone: without one the lease isn't renewed, so that a replica that has one can take it. */
  redisLost(): void {
    this.#hasRedis = false;
  }

  /** Rows were committed. */
  wake(): void {
    if (this.#lead?.task.kind === 'write') this.#lead.task.writer.wake();
  }

  /** The command to run now; the caller then calls `done` or `failed`. Undefined: nothing for `waitMs`. */
  next(): LeaderCommand | undefined {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#inFlight !== undefined || nowMs < this.#notBeforeMs) return undefined;
    const command = this.#choose(nowMs);
    if (command === undefined || (!this.#hasRedis && !isDatabaseOnly(command))) return undefined;
    this.#inFlight = command;
    return command;
  }

  /** Time after which to ask `next` again; ms. */
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

  /** The command failed, or got no answer: it is asked for again unchanged, if it is still to be done. */
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
    // Rows count only under our own lease: read by the same statement, so as of the same moment.
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

  /** The lease's epoch while it is ours. */
  get epoch(): number | undefined {
    return this.#lead?.epoch;
  }

  /** The epoch being written. */
  get writer(): { readonly seq: number; readonly beat: number } | undefined {
    return this.#lead?.task.kind === 'write' ? this.#lead.task.writer : undefined;
  }

  /** The owner the log belongs to instead. */
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

  #proceed(lead: Lead, reply: LeaderReply, nowMs: number): void {
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
        if (nowMs - task.writer.startedMs >= goodEpochMs) this.#reseedBackoff.reset();
        return this.#restart(lead, outcome, nowMs);
      }
    }
  }

  #afterHead(read: ReadHead, lead: Lead, nowMs: number): Task {
    // A malformed head vouches for nothing; the switch replaces it, unless it names another owner.
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

  #firstSeed(lead: Lead): Task {
    this.#events.reseed('start');
    // After another owner has held the log: readers may know this epoch's numbers from the log before.
    if (lead.isSpent) return { kind: 'raise', above: lead.epoch, takeover: undefined };
    return this.#seed(lead, undefined);
  }

  #seed(lead: Lead, takeover: Takeover | undefined): Task {
    const { epoch } = lead;
    lead.isSpent = true;
    const before = this.#lastHeadEpoch;
    return { kind: 'seed', seeder: new EpochSeeder({ ...this.#options, epoch, before, takeover }) };
  }

  /** The log isn't as this leader left it: it is made anew under a higher epoch, after a pause that grows. */
  #restart(lead: Lead, found: WriteRefusal, nowMs: number): void {
    this.#lastHeadEpoch = found.epoch;
    if (found.status === 'owner') return this.#refused(lead, found.owner, nowMs);
    this.#events.reseed(found.status);
    lead.task = { kind: 'raise', above: found.epoch, takeover: undefined };
    this.#pauseUntilMs = nowMs + this.#reseedBackoff.next();
  }

  #refused(lead: Lead, by: string, nowMs: number): void {
    lead.task = { kind: 'refused', untilMs: nowMs + refusedRetryMs, by };
  }
}

function taskWaitMs(task: Task, nowMs: number): number {
  if (task.kind === 'write') return task.writer.waitMs(nowMs);
  return task.kind === 'refused' ? task.untilMs - nowMs : 0;
}
