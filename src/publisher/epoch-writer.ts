import { limitCutOff } from '../revocation-log/cut-off-limit.ts';
import type {
  LeaderCommand,
  LeaderOptions,
  LeaderReply,
  LeasedRows,
  PublishedRow,
} from './leader-options.ts';
import type { Append, LogReply, WriteRefusal, StandingKey } from './log-writes.ts';
import { writeOutboxEvent } from './outbox-event.ts';
import { TrimQueue } from './trim-queue.ts';

/** The state of an epoch after its seed. */
export type EpochState = {
  readonly epoch: number;
  readonly seq: number;
  readonly standing: Map<string, StandingKey>;
};

export type EpochWriterOptions = Pick<
  LeaderOptions,
  'clockToleranceSeconds' | 'retentionSeconds' | 'pollMs' | 'drainSize'
>;

export type EpochWriterOutcome =
  | { readonly kind: 'more' }
  | { readonly kind: 'published'; readonly ids: readonly number[] }
  | ({ readonly kind: 'refused' } & WriteRefusal);

/** The append in flight, the rows that it publishes, and the standing keys that it appends. */
type Batch = {
  readonly append: Append;
  readonly rows: readonly PublishedRow[];
  readonly standing: readonly (readonly [string, StandingKey])[];
};

const more: EpochWriterOutcome = { kind: 'more' };
const defaultDrainSize = 500;
/** Longest time between two complete drains; ms. */
const beatEveryMs = 500;
const pruneEveryMs = 60_000;

/**
 * Writes one epoch: it drains the outbox, appends the rows to the log, and marks them as published. A drain
 * starts only after the previous append was answered, and only the append that completes a drain raises the
 * beat. Readers rely on both; see `Completeness`.
 */
export class EpochWriter {
  readonly #options: EpochWriterOptions;
  readonly #epoch: number;
  readonly #standing: Map<string, StandingKey>;
  readonly #drainSize: number;
  readonly #trim: TrimQueue;
  readonly #startedMs: number;
  #step: 'idle' | 'drain' | 'append' | 'mark' | 'prune' = 'idle';
  #seq: number;
  #beat = 0;
  #batch: Batch | undefined;
  #isWoken = true;
  #drainedMs = -Infinity;
  #beatMs = -Infinity;
  #prunedMs = -Infinity;

  constructor(state: EpochState, options: EpochWriterOptions, nowMs: number) {
    this.#options = options;
    this.#epoch = state.epoch;
    this.#seq = state.seq;
    this.#standing = state.standing;
    this.#drainSize = options.drainSize ?? defaultDrainSize;
    this.#trim = new TrimQueue(options.retentionSeconds * 1000);
    this.#trim.appended(state.seq, nowMs);
    this.#startedMs = nowMs;
  }

  get seq(): number {
    return this.#seq;
  }

  get beat(): number {
    return this.#beat;
  }

  get startedMs(): number {
    return this.#startedMs;
  }

  wake(): void {
    this.#isWoken = true;
  }

  /** Time until `next` has something to do; ms. */
  waitMs(nowMs: number): number {
    if (this.#step !== 'idle' || this.#isWoken) return 0;
    return Math.max(0, this.#drainedMs + this.#options.pollMs - nowMs);
  }

  next(nowMs: number): LeaderCommand | undefined {
    if (this.#step === 'idle') this.#begin(nowMs);
    switch (this.#step) {
      case 'idle':
        return undefined;
      case 'prune':
        return { kind: 'prune' };
      case 'drain':
        return { kind: 'drain', limit: this.#drainSize };
      case 'append':
        return this.#batch && { kind: 'append', ...this.#batch.append };
      case 'mark':
        return this.#batch && { kind: 'mark', epoch: this.#epoch, rows: this.#batch.rows };
    }
  }

  /** Takes the reply to `next`; the leader has checked the lease. */
  done(reply: LeaderReply, nowMs: number): EpochWriterOutcome {
    switch (reply.kind) {
      case 'drain':
        this.#drained(reply, nowMs);
        return more;
      case 'append':
        return this.#appended(reply.reply, nowMs);
      case 'mark':
        this.#batch = undefined;
        this.#step = 'idle';
        return more;
      case 'prune':
        this.#prunedMs = nowMs;
        this.#step = 'idle';
        return more;
      default:
        return more;
    }
  }

  #begin(nowMs: number): void {
    if (!this.#isWoken && nowMs - this.#drainedMs < this.#options.pollMs) return;
    if (!this.#isWoken && nowMs - this.#prunedMs >= pruneEveryMs) {
      this.#step = 'prune';
      return;
    }
    this.#isWoken = false;
    this.#drainedMs = nowMs;
    this.#step = 'drain';
  }

  #drained({ rows, nowMs: databaseMs }: LeasedRows, nowMs: number): void {
    const isWhole = rows.length < this.#drainSize;
    if (!isWhole) this.#isWoken = true;
    if (rows.length === 0 && nowMs - this.#beatMs < beatEveryMs) {
      this.#step = 'idle';
      return;
    }
    const events = rows.map(({ event }) =>
      limitCutOff(event, databaseMs, this.#options.clockToleranceSeconds),
    );
    const { trimBelow, repeated } = this.#trim.plan({
      nowMs,
      seq: this.#seq,
      added: events.length,
      standing: this.#standing,
      room: this.#drainSize,
    });
    const all = [...events, ...repeated.map(({ event }) => event)];
    const placed = all.map((event, index) => ({ event, seq: this.#seq + 1 + index }));
    this.#batch = {
      append: {
        epoch: this.#epoch,
        seq: this.#seq,
        beat: isWhole ? this.#beat : undefined,
        trimBelow,
        members: placed.map(({ event, seq }) => writeOutboxEvent(event, seq)),
      },
      rows: rows.map(({ id }, index) => ({ id, seq: this.#seq + 1 + index })),
      standing: placed
        .filter(({ event }) => event.kind === 'key')
        .map((key) => [`${key.event.iss} ${key.event.id}`, key] as const),
    };
    this.#step = 'append';
  }

  #appended(reply: LogReply, nowMs: number): EpochWriterOutcome {
    const batch = this.#batch;
    if (batch === undefined) return more;
    if (reply.status !== 'ok') return { kind: 'refused', ...reply };
    this.#seq = batch.append.seq + batch.append.members.length;
    // Redis may have fallen back to an earlier beat. The next complete drain raises the beat that Redis has
    // now.
    this.#beat = reply.beat;
    if (batch.append.beat !== undefined) this.#beatMs = this.#drainedMs;
    for (const [key, standing] of batch.standing) this.#standing.set(key, standing);
    if (batch.append.members.length > 0) this.#trim.appended(this.#seq, nowMs);
    if (batch.append.trimBelow !== undefined) this.#trim.trimmed(batch.append.trimBelow);
    this.#step = batch.rows.length > 0 ? 'mark' : 'idle';
    return batch.rows.length > 0 ? { kind: 'published', ids: batch.rows.map(({ id }) => id) } : more;
  }
}
