import type { Head } from './head.ts';
import { isSentinel } from './keys.ts';

/** One page of the log to read: scores from `above` (not included, unless it is -1) up to `below` (not included). */
export type PageRequest = { readonly epoch: number; readonly below: number; readonly above: number };

export type PageOutcome =
  | { readonly kind: 'more' }
  /** Everything from `top` down was read. */
  | { readonly kind: 'done'; readonly top: number }
  /** Entries below `next` are missing. They may have been trimmed meanwhile: a fresh head tells. */
  | { readonly kind: 'unexplained' }
  /** What was read is no whole log: it vanished or changed under the reader. */
  | { readonly kind: 'broken' };

/** Entries asked for at once. A subscribed connection that is sent too much at once is cut off by Redis. */
export const pageSize = 1000;

/**
 * One read of an epoch's log, newest entry first. Sequence numbers have no gaps within an epoch, so a read that meets
 * one has seen two different states of Redis, unless the entries below were trimmed.
 */
export class LogReading {
  readonly head: Head;
  readonly kind: 'snapshot' | 'tail';
  readonly #above: number;
  readonly #pageSize: number;
  #top = 0;
  /** The smallest sequence number read so far. */
  #next = Infinity;

  /** @param above the sequence number up to which everything is known; undefined reads down to the sentinel */
  constructor(head: Head, above: number | undefined, size: number) {
    this.head = head;
    this.kind = above === undefined ? 'snapshot' : 'tail';
    this.#above = above ?? -1;
    this.#pageSize = size;
  }

  get request(): PageRequest {
    return { epoch: this.head.epoch, below: this.#next, above: this.#above };
  }

  get top(): number {
    return this.#top;
  }

  /**
   * Takes the reply to `request`: members and scores in turn.
   * @param entry called for each member with its sequence number
   */
  take(reply: readonly unknown[], entry: (member: string, seq: number) => void): PageOutcome {
    if (reply.length % 2 !== 0 || reply.length > 2 * this.#pageSize) return { kind: 'broken' };
    for (let index = 0; index < reply.length; index += 2) {
      const member = reply[index];
      const seq = Number(reply[index + 1]);
      if (typeof member !== 'string' || !Number.isSafeInteger(seq) || seq < 0) return { kind: 'broken' };
      if (seq === 0) return this.#atSentinel(member);
      const follows = this.#next === Infinity || seq === this.#next - 1;
      if (!follows || seq <= this.#above) return { kind: 'broken' };
      if (this.#top === 0) this.#top = seq;
      this.#next = seq;
      entry(member, seq);
    }
    if (this.kind === 'tail' && this.#next === this.#above + 1) return { kind: 'done', top: this.#top };
    if (reply.length === 2 * this.#pageSize) return { kind: 'more' };
    // A tail ends short of what is known when the rest was trimmed; a snapshot must end at the sentinel.
    return this.kind === 'tail' && this.#top > 0 ? this.explainedBy(this.head) : { kind: 'broken' };
  }

  /** Whether the head of this epoch says that what is missing below was trimmed. */
  explainedBy(head: Head): PageOutcome {
    if (head.trimBelow >= this.#next || this.#next === 1) return { kind: 'done', top: this.#top };
    return { kind: 'unexplained' };
  }

  #atSentinel(member: string): PageOutcome {
    if (this.kind === 'tail' || !isSentinel(member, this.head.owner, this.head.epoch))
      return { kind: 'broken' };
    if (this.#top === 0) return { kind: 'done', top: 0 };
    return this.explainedBy(this.head);
  }
}
