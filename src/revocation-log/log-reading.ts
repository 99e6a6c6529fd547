import type { Head } from './head.ts';
import { isSentinel } from './keys.ts';

/**
 * One page of the log: the scores between `above` and `below`, both excluded. With `above` -1 the page starts
 * at 0.
 */
export type PageRequest = { readonly epoch: number; readonly below: number; readonly above: number };

export type PageOutcome =
  | { readonly kind: 'more' }
  /** Everything from `top` down was read. */
  | { readonly kind: 'done'; readonly top: number }
  /** Older entries are missing. A fresh head shows whether the owner trimmed them during the read. */
  | { readonly kind: 'unexplained' }
  /** The log vanished or changed during the read, so the entries don't form a complete log. */
  | { readonly kind: 'broken' };

/** Entries in one page. Redis closes a subscribed connection whose output buffer grows too large. */
export const pageSize = 1000;

/**
 * One read of an epoch's log, newest entry first. Sequence numbers have no gaps within an epoch. A read that
 * finds a gap has seen two different states of Redis, unless the entries below the gap were trimmed.
 */
export class LogReading {
  readonly head: Head;
  readonly kind: 'snapshot' | 'tail';
  readonly #above: number;
  readonly #pageSize: number;
  #top = 0;
  /** The smallest sequence number read so far. */
  #next = Infinity;

  /**
   * @param above the sequence number up to which the reader knows every entry; undefined reads down to the
   * sentinel
   */
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
   * Takes the reply to `request`: alternating members and scores.
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
    // A tail may end above the known entries, if those between were trimmed. A snapshot must end at the
    // sentinel.
    return this.kind === 'tail' && this.#top > 0 ? this.explainedBy(this.head) : { kind: 'broken' };
  }

  /** `done` if the head of this epoch shows that the missing older entries were trimmed. */
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
