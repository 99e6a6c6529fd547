import type { Clock } from '../runtime/clock.ts';
import { maxEventLength, parseJson, readEvent, type RevocationEvent } from '../revocation-log/event.ts';
import type { Completeness } from './completeness.ts';
import type { RevocationList } from './revocation-list.ts';

/** `ignored`: of another log, epoch or issuer than those followed here. */
export type EventResult = 'applied' | 'duplicate' | 'unlogged' | 'malformed' | 'unknown' | 'ignored';
export type EventSource = 'message' | 'log' | 'unlogged';

/** Told of each event that came, for metrics and onlookers. */
export type EventReport = (
  result: EventResult,
  event?: RevocationEvent,
  via?: EventSource,
  seq?: number,
) => void;

/** Takes events in: each is applied as far as it is understood, and where it isn't, too much is refused. */
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

  /** A member of an epoch's log. */
  member(text: string, epoch: number, seq: number): void {
    this.#apply(text.length <= maxEventLength ? parseJson(text) : undefined, epoch, seq, 'log');
  }

  /** The events of a message of an epoch's owner. */
  batch(events: readonly unknown[], epoch: number, firstSeq: number): void {
    events.forEach((event, index) => this.#apply(event, epoch, firstSeq + index, 'message'));
  }

  /** An event that no log holds. It can only refuse more, and is forgotten when this process ends. */
  unlogged(value: unknown): void {
    const read = readEvent(value);
    if (read.kind !== 'event') return this.#report(read.kind === 'malformed' ? 'malformed' : 'unknown');
    this.#list.apply(read.event, this.#clock.monotonicMs());
    this.#report('unlogged', read.event, 'unlogged');
  }

  /** Something that is not for this view. */
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
