import type { Head } from '../revocation-log/head.ts';

/** A moment on both clocks: either may stand still or step while the other doesn't. */
export type Moment = { readonly monotonicMs: number; readonly wallMs: number };

/**
 * Where a probe read: the identity of the data set, which changes when a server is promoted or copies another one, and
 * whether it is the master. A replica shows the past: what its beat goes through may have happened long ago.
 */
export type RedisSource = { readonly isMaster: boolean; readonly id: string };

/**
 * Why nothing can be proven about an issuer, however well the log is read. `uncovered`: the log's owner doesn't vouch for
 * it. `not_understood`: the log holds an event that may concern it and that this version can't read.
 */
export const unprovenCauses = ['uncovered', 'not_understood'] as const;
export type UnprovenCause = (typeof unprovenCauses)[number];
export type UnprovenIssuer = { readonly issuer: string; readonly cause: UnprovenCause };

type Observation = { readonly beat: number; readonly at: Moment };
type LogPosition = { readonly epoch: number; readonly seq: number };

/** Stands for every issuer, where an event doesn't say which one it concerns. */
const anyIssuer = '*';

/**
 * Since when every revocation is known, for each issuer, and the sightings of the owner's beat that prove it.
 *
 * The owner raises the beat by one when a whole drain of its database is in the log, and starts a drain only after the
 * drain before was answered. A probe begun at time A saw beat b; a later one sees b + 2 or more. The drain that raised
 * it to b + 2 began after the answer to the one that raised it to b + 1, and that one after A: so everything committed
 * before A was in the log when the later probe read it. No clocks of two machines are compared.
 *
 * That holds for one data set with one history, so sightings are forgotten on a new connection and when the source
 * changes. A probe asks for the source after the head; what it saw counts if the source was the same before.
 *
 * What is proven is proven of the log. It counts for an issuer if the log covers it and holds nothing about it that can't
 * be read here. An issuer for which it doesn't count takes nothing from the others, nor from the connection.
 */
export class Completeness {
  readonly #issuers: readonly string[];
  readonly #complete = new Map<string, Moment>();
  /** The same for the log as a whole, whichever issuers it covers. */
  #completeLog: Moment | undefined;
  #owner: string | undefined;
  #uncovered: ReadonlySet<string> = new Set();
  /** By rising beat; of all that are two or more below the newest only the latest is kept. */
  #observations: Observation[] = [];
  #epoch = '';
  #sourceId: string | undefined;
  /** Issuers, or `anyIssuer`, about whom an epoch holds events that can't be read here; and the place of the last one. */
  readonly #unreadable = new Map<string, LogPosition>();

  /** @param issuers those whose tokens are judged */
  constructor(issuers: readonly string[]) {
    this.#issuers = issuers;
  }

  /** A connection begins, or a probe has read its source. Call before `sight`. @returns whether it is as before */
  setSource({ isMaster, id }: RedisSource): boolean {
    const isSame = isMaster && id === this.#sourceId;
    if (!isSame) this.#observations = [];
    this.#sourceId = isMaster ? id : undefined;
    return isSame;
  }

  /**
   * A probe saw this head. Another owner vouches for what another database holds, so all proofs start again with it.
   * @returns true if the owner changed
   */
  followHead(head: Head): boolean {
    const isOther = this.#owner !== undefined && this.#owner !== head.owner;
    if (isOther) this.#reset();
    this.#owner = head.owner;
    this.#uncovered = new Set(this.#issuers.filter((issuer) => !head.covers.includes(issuer)));
    for (const issuer of this.#uncovered) this.#complete.delete(issuer);
    // The owner trims an entry when every token that it could refuse has expired, and repeats before that what stands. A
    // view that starts now never sees the entry; this one needs to know no more.
    for (const [issuer, { epoch, seq }] of this.#unreadable)
      if (epoch === head.epoch && seq < head.trimBelow) this.#unreadable.delete(issuer);
    return isOther;
  }

  /** Notes what a probe saw. @returns the moment before which everything is in the log it saw, if any is proven */
  observe(head: Head, startedAt: Moment): Moment | undefined {
    const epoch = `${head.epoch} ${head.owner}`;
    const newest = this.#observations.at(-1);
    if (epoch !== this.#epoch || (newest !== undefined && newest.beat > head.beat)) this.#observations = [];
    this.#epoch = epoch;
    const proving = this.#observations.findLast(({ beat }) => beat <= head.beat - 2);
    this.#observations = this.#observations.filter(
      (observation) =>
        observation === proving || (observation.beat > head.beat - 2 && observation.beat < head.beat),
    );
    this.#observations.push({ beat: head.beat, at: startedAt });
    return proving?.at;
  }

  /** A new connection may lead to another Redis, whose beat says nothing about the one before. */
  discardObservations(): void {
    this.#observations = [];
  }

  /** Everything in the log followed that was committed before `moment` is known. Never moves back. */
  completeUntil(moment: Moment | undefined): void {
    if (moment === undefined) return;
    this.#completeLog = later(this.#completeLog, moment);
    for (const issuer of this.#issuers)
      if (this.#causeOf(issuer) === undefined)
        this.#complete.set(issuer, later(this.#complete.get(issuer), moment));
  }

  /** The log holds an event that can't be read here. Nothing is proven of its issuer until it is trimmed or left behind. */
  distrust(issuer: string | undefined, position: LogPosition): void {
    const name = issuer ?? anyIssuer;
    if (issuer !== undefined && !this.#issuers.includes(issuer)) return;
    const last = this.#unreadable.get(name);
    if (last === undefined || isBefore(last, position)) this.#unreadable.set(name, position);
    if (issuer === undefined) this.#complete.clear();
    else this.#complete.delete(issuer);
  }

  /** This epoch's log was read whole; what older ones held no longer matters. */
  enterEpoch(epoch: number): void {
    for (const [issuer, last] of this.#unreadable) if (last.epoch < epoch) this.#unreadable.delete(issuer);
  }

  /** The issuers about whom nothing can be proven, as of the last head. */
  unproven(): UnprovenIssuer[] {
    return this.#issuers.flatMap((issuer) => {
      const cause = this.#causeOf(issuer);
      return cause === undefined ? [] : [{ issuer, cause }];
    });
  }

  /** Milliseconds since which revocations of the issuer may be unknown; Infinity without a proof. */
  stalenessMs(issuer: string, nowMs: number, monotonicMs: number): number {
    return since(this.#complete.get(issuer), nowMs, monotonicMs);
  }

  /** Of the issuer that is worst off among those that can be proven; Infinity if none can. */
  worstStalenessMs(nowMs: number, monotonicMs: number): number {
    if (this.#issuers.length === 0) return 0;
    const provable = this.#issuers.filter((issuer) => this.#causeOf(issuer) === undefined);
    if (provable.length === 0) return Infinity;
    return Math.max(...provable.map((issuer) => this.stalenessMs(issuer, nowMs, monotonicMs)));
  }

  /** Of the log itself, whichever issuers it covers: how long nothing has been proven over the connection. */
  logStalenessMs(nowMs: number, monotonicMs: number): number {
    return since(this.#completeLog, nowMs, monotonicMs);
  }

  #causeOf(issuer: string): UnprovenCause | undefined {
    if (this.#uncovered.has(issuer)) return 'uncovered';
    return this.#unreadable.has(issuer) || this.#unreadable.has(anyIssuer) ? 'not_understood' : undefined;
  }

  #reset(): void {
    this.#complete.clear();
    this.#completeLog = undefined;
    this.#unreadable.clear();
    this.#observations = [];
  }
}

const isBefore = (one: LogPosition, other: LogPosition): boolean =>
  one.epoch < other.epoch || (one.epoch === other.epoch && one.seq < other.seq);

const later = (one: Moment | undefined, other: Moment): Moment =>
  one === undefined || one.monotonicMs < other.monotonicMs ? other : one;

const since = (moment: Moment | undefined, nowMs: number, monotonicMs: number): number =>
  moment === undefined ? Infinity : Math.max(monotonicMs - moment.monotonicMs, nowMs - moment.wallMs, 0);
