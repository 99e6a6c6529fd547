import { createHash } from 'node:crypto';
import type { RevocationEvent } from '../revocation-log/event.ts';
import { feedStates, type FeedState, type FeedStatus, type RevocationFeedOptions } from './feed.ts';
import type { Head } from '../revocation-log/head.ts';
import type { EventResult, EventSource } from './intake.ts';
import { unprovenCauses, type UnprovenCause, type UnprovenIssuer } from './completeness.ts';
import type { RevocationList } from './revocation-list.ts';
import type { ResyncCause, ViewReport } from './view-options.ts';

const keptEvents = 20;

const unprovenWarnings: Readonly<Record<UnprovenCause, string>> = {
  uncovered:
    'the revocation log does not cover this issuer: only tokens younger than maxExposure are accepted',
  not_understood:
    'the revocation log holds an unreadable event that may concern this issuer: only tokens younger than maxExposure are accepted',
};

const eventWarnings = {
  malformed: 'malformed revocation event: further ones are only counted',
  unknown: 'revocation event of an unknown kind or version: further ones are only counted',
} as const;

const headWarnings = {
  absent: 'the revocation log does not exist: start identity or relay, or run curfew log create',
  replica: 'Redis is a replica: the revocation feed needs the master',
  malformed: 'the head of the revocation log is malformed',
} as const;

const headProblem = (problem: string): keyof typeof headWarnings =>
  problem === 'absent' || problem === 'replica' ? problem : 'malformed';

type ViewState = { readonly state: FeedState; worstStalenessMs(): number; unproven(): UnprovenIssuer[] };

type ReportOptions = Pick<
  RevocationFeedOptions,
  'clock' | 'log' | 'metrics' | 'logName' | 'issuers' | 'onEvent'
> & {
  readonly address: string;
};

/** Logs and counts what a feed does, and calls its observer. It has no influence on decisions. */
export class FeedReport implements ViewReport {
  readonly #options: ReportOptions;
  readonly #counts = new Map<EventResult, number>();
  readonly #lastEvents: RevocationEvent[] = [];
  #next = 0;
  #head: Head | undefined;
  #problem: string | undefined;
  #state: FeedState | undefined;
  readonly #unproven = new Map<string, UnprovenCause>();
  #hadMalformed = false;
  #hadUnknown = false;

  constructor(options: ReportOptions) {
    this.#options = options;
  }

  // A property, because the view gets the bound function.
  readonly event = (result: EventResult, event?: RevocationEvent, via?: EventSource, seq?: number): void => {
    this.#counts.set(result, (this.#counts.get(result) ?? 0) + 1);
    if (result === 'malformed' || result === 'unknown') this.#warnOnce(result);
    if (event === undefined || via === undefined) return;
    const { clock, metrics, onEvent } = this.#options;
    if (via === 'message' && result === 'applied')
      metrics.propagation.observe(Math.max(0, clock.nowMs() / 1000 - event.at));
    this.#lastEvents[this.#next] = event;
    this.#next = (this.#next + 1) % keptEvents;
    onEvent?.({ kind: 'event', via, seq, event });
  };

  resync(cause: ResyncCause): void {
    this.#options.metrics.feedResyncs.inc({ cause });
    this.#options.log.debug('reading the revocation log', { cause });
  }

  head(head: Head | undefined, problem?: string): void {
    const { log, logName, address } = this.#options;
    if (problem !== undefined && problem !== this.#problem)
      log.warn(headWarnings[headProblem(problem)], { log: logName, address, reason: problem });
    this.#problem = problem;
    const before = this.#head;
    this.#head = head;
    if (head === undefined || (before?.owner === head.owner && before.epoch === head.epoch)) return;
    const { owner, epoch, seq, covers } = head;
    log.info('following the revocation log', { log: logName, owner, epoch, seq, covers });
  }

  overflow(issuers: readonly string[]): void {
    for (const issuer of issuers)
      this.#options.log.warn('more revocations than maxEntries: older tokens of this issuer are refused', {
        issuer,
      });
  }

  /** Call about once a second, to report what changes without an event. */
  update(view: ViewState, list: RevocationList): void {
    const { metrics, log } = this.#options;
    const { state } = view;
    const stalenessMs = view.worstStalenessMs();
    this.#reportUnproven(view.unproven());
    for (const [result, count] of this.#counts) metrics.revocationEvents.inc({ result }, count);
    this.#counts.clear();
    for (const [kind, count] of Object.entries(list.counts())) metrics.revocations.set({ kind }, count);
    metrics.feedStaleness.set(stalenessMs / 1000);
    if (state === this.#state) return;
    for (const name of feedStates) metrics.feedState.set({ state: name }, name === state ? 1 : 0);
    const fields = { state, ...(stalenessMs === Infinity ? {} : { stalenessMs: Math.round(stalenessMs) }) };
    if (state === 'stale') log.warn('the revocation feed is stale', fields);
    else log.info('the revocation feed changed its state', fields);
    this.#state = state;
  }

  get lastHead(): Head | undefined {
    return this.#head;
  }

  lastEvents(): FeedStatus['lastEvents'] {
    const newestFirst = [
      ...this.#lastEvents.slice(this.#next),
      ...this.#lastEvents.slice(0, this.#next),
    ].reverse();
    return newestFirst.map(({ kind, iss, id, at, reason }) => ({
      kind,
      issuer: iss,
      idHash: createHash('sha256').update(id).digest('hex').slice(0, 12),
      at,
      reason,
    }));
  }

  /** Logs when an issuer loses its proof, and when it has one again. */
  #reportUnproven(unproven: readonly UnprovenIssuer[]): void {
    const { issuers, log, logName: name, metrics } = this.#options;
    for (const { issuer } of issuers) {
      const cause = unproven.find((one) => one.issuer === issuer)?.cause;
      const before = this.#unproven.get(issuer);
      for (const one of unprovenCauses)
        metrics.feedUnproven.set({ issuer, cause: one }, one === cause ? 1 : 0);
      if (cause === before) continue;
      if (cause === undefined) {
        this.#unproven.delete(issuer);
        log.info('revocations of this issuer are proven complete again', { issuer, log: name });
      } else {
        this.#unproven.set(issuer, cause);
        log.warn(unprovenWarnings[cause], { issuer, log: name });
      }
    }
  }

  #warnOnce(result: 'malformed' | 'unknown'): void {
    const isFirst = result === 'malformed' ? !this.#hadMalformed : !this.#hadUnknown;
    if (result === 'malformed') this.#hadMalformed = true;
    else this.#hadUnknown = true;
    if (isFirst) this.#options.log.warn(eventWarnings[result]);
  }
}
