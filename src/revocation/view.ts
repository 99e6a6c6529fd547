import type { FeedState } from './feed.ts';
import { readHead, type Head, type ReadHead } from '../revocation-log/head.ts';
import { Intake } from './intake.ts';
import type { RevocationView } from './exposure-rule.ts';
import { LogReading, pageSize, type PageOutcome } from '../revocation-log/log-reading.ts';
import { readMessage, type ReadMessage } from '../revocation-log/message.ts';
import { Completeness, type RedisSource, type UnprovenIssuer } from './completeness.ts';
import type { Revocable } from './revocable.ts';
import type { RevocationList } from './revocation-list.ts';
import { SnapshotJitter } from './snapshot-jitter.ts';
import type { ViewCommand, ViewOptions } from './view-options.ts';
import { idle, type HeldEpoch, type Work } from './view-work.ts';

const nothing: readonly ViewCommand[] = [];
const soon: readonly ViewCommand[] = [{ kind: 'wait', ms: 250 }];

/**
 * The reader's state machine. Its inputs are messages, heads, pages, closed connections and ticks; its
 * outputs are commands. Tokens are evaluated against it as a `RevocationView`. It does no I/O and has no
 * timers. At most one probe or read is in flight.
 */
export class View implements RevocationView {
  readonly #options: ViewOptions;
  readonly #completeness: Completeness;
  readonly #intake: Intake;
  readonly #pageSize: number;
  #subscribed = false;
  #head: Head | undefined;
  #held: HeldEpoch | undefined;
  #work: Work = idle;
  #ticket = 0;
  #probeAgain = false;
  readonly #jitter: SnapshotJitter;

  constructor(options: ViewOptions) {
    this.#options = options;
    this.#pageSize = options.pageSize ?? pageSize;
    const { issuers, list, clock, random, report } = options;
    this.#jitter = new SnapshotJitter(random);
    this.#completeness = new Completeness(issuers.map(({ issuer }) => issuer));
    this.#intake = new Intake({ list, completeness: this.#completeness, clock, report: report.event });
  }

  /** A connection has subscribed to the log's channel. @param source read on this connection before */
  subscribed(source: RedisSource): readonly ViewCommand[] {
    this.closed();
    this.#subscribed = true;
    this.#completeness.setSource(source);
    return this.#probe();
  }

  /** The connection has ended. Late replies to its commands are ignored. */
  closed(): void {
    this.#subscribed = false;
    this.#head = undefined;
    this.#work = idle;
    this.#ticket += 1;
    this.#probeAgain = false;
    this.#completeness.discardObservations();
  }

  /** Call about once a second. */
  tick(): readonly ViewCommand[] {
    this.#options.list.tick(this.#options.clock.monotonicMs());
    return this.#subscribed && this.#work.kind === 'idle' ? this.#probe() : nothing;
  }

  /** A message arrived on the channel. */
  message(text: string): readonly ViewCommand[] {
    const message = readMessage(text);
    const head = this.#head;
    if (message.kind === 'malformed') return this.#ignore('malformed');
    if (message.kind === 'bare') return this.#bare(message.event);
    if (head === undefined || message.owner !== head.owner || message.epoch < head.epoch)
      return this.#ignore('ignored');
    this.#intake.batch(message.events, message.epoch, message.firstSeq);
    return this.#follow(message, head);
  }

  /** The reply to a probe: the values of `headFields`, and the source, which was read after them. */
  head(ticket: number, values: readonly unknown[], source: RedisSource): readonly ViewCommand[] {
    const work = this.#work;
    if (work.kind !== 'probing' || ticket !== this.#ticket) return nothing;
    this.#work = idle;
    if (!source.isMaster) return this.#leaveReplica();
    const isSameSource = this.#completeness.setSource(source);
    const read = readHead(values);
    if (read.kind !== 'head') return this.#noHead(read);
    this.#options.report.head(read.head);
    return this.#compare(read.head, work, isSameSource);
  }

  /** The reply to a read: alternating members and scores, highest score first. */
  page(ticket: number, reply: readonly unknown[]): readonly ViewCommand[] {
    const work = this.#work;
    if (work.kind !== 'reading' || ticket !== this.#ticket) return nothing;
    const { reading } = work;
    const outcome = reading.take(reply, (member, seq) =>
      this.#intake.member(member, reading.head.epoch, seq),
    );
    if (outcome.kind === 'more') return this.#read(reading);
    if (outcome.kind === 'unexplained') return this.#probe(reading);
    return this.#finish(reading, outcome) ? this.#probe() : nothing;
  }

  find(token: Revocable): ReturnType<RevocationList['find']> {
    return this.#options.list.find(token);
  }

  stalenessMs(issuer: string, nowMs: number, monotonicMs: number): number {
    return this.#completeness.stalenessMs(issuer, nowMs, monotonicMs);
  }

  get retentionSeconds(): number | undefined {
    return this.#held?.retentionSeconds;
  }

  worstStalenessMs(): number {
    const { clock } = this.#options;
    return this.#completeness.worstStalenessMs(clock.nowMs(), clock.monotonicMs());
  }

  logStalenessMs(): number {
    const { clock } = this.#options;
    return this.#completeness.logStalenessMs(clock.nowMs(), clock.monotonicMs());
  }

  unproven(): UnprovenIssuer[] {
    return this.#completeness.unproven();
  }

  get state(): FeedState {
    return this.#stateAt(this.worstStalenessMs());
  }

  /**
   * Whether the log is read and proven current. This depends on the connection and the log's owner, not on
   * issuers.
   */
  get isLogLive(): boolean {
    return this.#stateAt(this.logStalenessMs()) === 'live';
  }

  /**
   * Whether the view is live for every issuer that can be proven, so that waiting would prove no more. A log
   * that covers none of the issuers is probably the wrong log, so in that case waiting is worthwhile.
   */
  get isSynced(): boolean {
    const unproven = this.unproven();
    if (unproven.length === 0 || unproven.length < this.#options.issuers.length) return this.state === 'live';
    return this.isLogLive && unproven.some(({ cause }) => cause === 'not_understood');
  }

  /** The sequence number up to which every entry of the log is applied. */
  get applied(): number | undefined {
    return this.#held?.applied;
  }

  get isSubscribed(): boolean {
    return this.#subscribed;
  }

  #stateAt(stalenessMs: number): FeedState {
    const reachable = this.#subscribed && this.#head !== undefined;
    if (stalenessMs === Infinity) return reachable ? 'syncing' : 'starting';
    if (stalenessMs > this.#options.maxExposureMs) return 'stale';
    return reachable && this.#needsSnapshot(this.#head) ? 'syncing' : 'live';
  }

  #noHead(read: Exclude<ReadHead, { kind: 'head' }>): readonly ViewCommand[] {
    this.#head = undefined;
    this.#completeness.discardObservations();
    this.#options.report.head(undefined, read.kind === 'absent' ? 'absent' : `malformed: ${read.field}`);
    return this.#held === undefined ? soon : nothing;
  }

  #leaveReplica(): readonly ViewCommand[] {
    this.closed();
    this.#options.report.head(undefined, 'replica');
    return [{ kind: 'disconnect' }];
  }

  #compare(
    head: Head,
    probe: Extract<Work, { kind: 'probing' }>,
    isSameSource: boolean,
  ): readonly ViewCommand[] {
    this.#head = head;
    // If the previous owner comes back, its log must be read again: the proofs about it were discarded.
    if (this.#completeness.followHead(head) && this.#held !== undefined)
      this.#held = { ...this.#held, epoch: 0 };
    const proven = isSameSource ? this.#completeness.observe(head, probe.startedAt) : undefined;
    if (probe.doubt !== undefined) return this.#resolveDoubt(probe.doubt, head) ? this.#probe() : nothing;
    const held = this.#held;
    if (held === undefined || this.#needsSnapshot(head)) return this.#snapshot(head);
    // Redis fell back to an earlier epoch. The owner will notice it and start a new epoch.
    if (head.epoch < held.epoch) return nothing;
    if (head.seq < probe.appliedBefore) return this.#stepBack(held, head);
    if (head.seq > held.applied) {
      this.#options.report.resync('behind');
      return this.#read(new LogReading(head, held.applied, this.#pageSize));
    }
    this.#completeness.completeUntil(head.truth === 'redis' && isSameSource ? probe.startedAt : proven);
    if (this.#probeAgain) return this.#probe();
    // The first proof needs two beats, so probe more often until then.
    return this.logStalenessMs() === Infinity ? soon : nothing;
  }

  #needsSnapshot(head: Head | undefined): boolean {
    if (head === undefined) return true;
    const held = this.#held;
    return held === undefined || held.owner !== head.owner || held.epoch < head.epoch;
  }

  #stepBack(held: HeldEpoch, head: Head): readonly ViewCommand[] {
    held.applied = Math.min(held.applied, head.seq);
    this.#completeness.discardObservations();
    this.#options.report.resync('seq_back');
    return nothing;
  }

  #snapshot(head: Head): readonly ViewCommand[] {
    const { clock, list, maxExposureMs, report } = this.#options;
    const monotonicMs = clock.monotonicMs();
    const waitMs = this.#jitter.waitMs(head, this.logStalenessMs() <= maxExposureMs, monotonicMs);
    if (waitMs > 0) return [{ kind: 'wait', ms: Math.ceil(waitMs) }];
    report.resync(this.#held === undefined ? 'start' : 'epoch');
    // Entries of the previous epoch must stay as long as that epoch's retention until this epoch is read.
    list.retain(Math.max(head.retentionSeconds, this.#held?.retentionSeconds ?? 0), monotonicMs);
    return this.#read(new LogReading(head, undefined, this.#pageSize));
  }

  #resolveDoubt(doubt: LogReading, head: Head): boolean {
    const isSameEpoch = doubt.head.owner === head.owner && doubt.head.epoch === head.epoch;
    return this.#finish(doubt, isSameEpoch ? doubt.explainedBy(head) : { kind: 'broken' });
  }

  #finish(reading: LogReading, outcome: PageOutcome): boolean {
    this.#work = idle;
    if (outcome.kind !== 'done') {
      this.#options.report.resync('broken');
      return false;
    }
    const { owner, epoch, retentionSeconds } = reading.head;
    if (reading.kind === 'snapshot') {
      this.#held = { owner, epoch, retentionSeconds, applied: outcome.top };
      this.#options.list.retain(retentionSeconds, this.#options.clock.monotonicMs());
      this.#completeness.enterEpoch(epoch);
    } else if (this.#held !== undefined) {
      this.#held.applied = Math.max(this.#held.applied, outcome.top);
    }
    return true;
  }

  #follow(message: Extract<ReadMessage, { kind: 'batch' }>, head: Head): readonly ViewCommand[] {
    const held = this.#held;
    const isHeld = held !== undefined && held.owner === message.owner && held.epoch === message.epoch;
    if (isHeld && message.firstSeq <= held.applied + 1) {
      held.applied = Math.max(held.applied, message.seq);
      return nothing;
    }
    // There is a gap or a new epoch; only the head can say which.
    if (!isHeld && message.epoch === head.epoch) return nothing;
    if (this.#work.kind === 'idle') return this.#probe();
    this.#probeAgain = true;
    return nothing;
  }

  /** Only a log that third-party code writes may have bare events, and they prove nothing. */
  #bare(event: unknown): readonly ViewCommand[] {
    if (this.#head?.truth === 'redis') this.#intake.unlogged(event);
    else this.#intake.ignore('ignored');
    return nothing;
  }

  #ignore(result: 'ignored' | 'malformed'): readonly ViewCommand[] {
    this.#intake.ignore(result);
    return nothing;
  }

  #probe(doubt?: LogReading): readonly ViewCommand[] {
    const { clock } = this.#options;
    this.#probeAgain = false;
    this.#ticket += 1;
    this.#work = {
      kind: 'probing',
      startedAt: { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() },
      appliedBefore: this.#held?.applied ?? 0,
      doubt,
    };
    return [{ kind: 'probe', ticket: this.#ticket }];
  }

  #read(reading: LogReading): readonly ViewCommand[] {
    this.#ticket += 1;
    this.#work = { kind: 'reading', reading };
    return [{ kind: 'read', ticket: this.#ticket, ...reading.request }];
  }
}
