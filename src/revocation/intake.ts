import type { Clock } from '../runtime/clock.ts';
import { maxEventLength, parseJson, readEvent, type RevocationEvent } from '../revocation-log/event.ts';
import type { Completeness } from './completeness.ts';
import type { RevocationList } from './revocation-list.ts';

/** `ignored`: the event is of another log, epoch or issuer than the view follows. */
export type EventResult = 'applied' | 'duplicate' | 'unlogged' | 'malformed' | 'unknown' | 'ignored';
export type EventSource = 'message' | 'log' | 'unlogged';

/** Called for each event that arrives, for metrics and observers. */
export type EventReport = (
  result: EventResult,
  event?: RevocationEvent,
  via?: EventSource,
  seq?: number,
) => void;

/**
 * Applies events as far as this version understands them. Where it doesn't, more tokens are refused, never
 * fewer.
 */
export class Intake {
  readonly #list: RevocationList;
  readonly #completeness: Completeness;
  readonly #clock: Clock;
  readonly #report: EventReport;

  constructor(options: {
    list: RevocationList;
    completeness: Completeness;
    clock: Clock;
    report: EventReport;
  }) {
    this.#list = options.list;
    this.#completeness = options.completeness;
    this.#clock = options.clock;
    this.#report = options.report;
  }

  /** Applies a member of an epoch's log. */
  member(text: string, epoch: number, seq: number): void {
    this.#apply(text.length <= maxEventLength ? parseJson(text) : undefined, epoch, seq, 'log');
  }

  /** Applies the events of a message. */
  batch(events: readonly unknown[], epoch: number, firstSeq: number): void {
    events.forEach((event, index) => this.#apply(event, epoch, firstSeq + index, 'message'));
  }

  /**
   * Applies an event that isn't in the log. It can only refuse more tokens, and a restart of this process
   * loses it.
   */
  unlogged(value: unknown): void {
    const read = readEvent(value);
    if (read.kind !== 'event') return this.#report(read.kind === 'malformed' ? 'malformed' : 'unknown');
    this.#list.apply(read.event, this.#clock.monotonicMs());
    this.#report('unlogged', read.event, 'unlogged');
  }

  /** Counts a message that isn't for this view. */
  ignore(result: 'ignored' | 'malformed'): void {
    this.#report(result);
  }

  #apply(value: unknown, epoch: number, seq: number, via: EventSource): void {
    const read = readEvent(value);
    if (read.kind !== 'event') {
      this.#completeness.distrust(read.iss, { epoch, seq });
      return this.#report(read.kind === 'malformed' ? 'malformed' : 'unknown');
    }
    const applied = this.#list.apply(read.event, this.#clock.monotonicMs());
    const result = applied === 'other_issuer' ? 'ignored' : read.asKnown ? applied : 'unknown';
    this.#report(result, read.event, via, seq);
  }
}
