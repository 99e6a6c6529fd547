import type { StandingKey } from './log-writes.ts';

/** Largest number of entries that one call removes. */
const maxTrimmed = 5000;
/** Entries that were appended within this time are trimmed together; ms. */
const bucketMs = 1000;

type Bucket = { readonly startedMs: number; seq: number; atMs: number };

export type TrimPlan = {
  /** Undefined if there is nothing to trim. */
  readonly trimBelow: number | undefined;
  /** Standing keys whose entries would be trimmed. They must be appended again. */
  readonly repeated: readonly StandingKey[];
};

/**
 * Decides when entries of an epoch are trimmed: one retention after they were appended, by this process's
 * monotonic clock. No other clock is used, so a step of a wall clock trims nothing.
 */
export class TrimQueue {
  readonly #retentionMs: number;
  readonly #buckets: Bucket[] = [];
  #trimBelow = 1;

  constructor(retentionMs: number) {
    this.#retentionMs = retentionMs;
  }

  /** Records that the entries up to `seq` are in the log. */
  appended(seq: number, nowMs: number): void {
    const last = this.#buckets.at(-1);
    if (last === undefined || nowMs - last.startedMs >= bucketMs)
      this.#buckets.push({ startedMs: nowMs, seq, atMs: nowMs });
    else {
      last.seq = seq;
      last.atMs = nowMs;
    }
  }

  /**
   * What the next call may trim when it appends `added` entries after `seq`, and which keys it must append
   * again.
   */
  plan(call: {
    nowMs: number;
    seq: number;
    added: number;
    standing: ReadonlyMap<string, StandingKey>;
    room: number;
  }): TrimPlan {
    const due = this.#buckets.findLast(({ atMs }) => call.nowMs - atMs >= this.#retentionMs);
    if (due === undefined) return { trimBelow: undefined, repeated: [] };
    let below = Math.min(due.seq + 1, this.#trimBelow + maxTrimmed);
    const repeated = [...call.standing.values()]
      .filter(({ seq }) => seq < below)
      .sort((one, other) => one.seq - other.seq);
    const firstLeft = repeated[call.room];
    if (firstLeft !== undefined) below = Math.min(below, firstLeft.seq);
    const taken = repeated.slice(0, call.room);
    // The newest entry stays. A reader that finds only the sentinel couldn't tell which sequence number the
    // log has.
    below = Math.min(below, call.seq + call.added + taken.length);
    return below > this.#trimBelow
      ? { trimBelow: below, repeated: taken }
      : { trimBelow: undefined, repeated: [] };
  }

  trimmed(below: number): void {
    this.#trimBelow = below;
    while ((this.#buckets[0]?.seq ?? Infinity) < below) this.#buckets.shift();
  }
}
