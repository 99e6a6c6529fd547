import type { Head } from '../revocation-log/head.ts';

/** A moment on both clocks. Either clock may stop or step while the other continues. */
export type Moment = { readonly monotonicMs: number; readonly wallMs: number };

/**
 * The Redis data set that a probe read, and whether the server is the master. The id changes when a server is
 * promoted or copies another server. A replica lags behind its master, so its beats may show drains from long
 * ago.
 */
export type RedisSource = { readonly isMaster: boolean; readonly id: string };

/**
 * Why the view can't prove that it knows all revocations of an issuer, even after reading the whole log.
 * `uncovered`: the log doesn't cover the issuer. `not_understood`: the log holds an event that this version
 * can't read and that may concern the issuer.
 */
export const unprovenCauses = ['uncovered', 'not_understood'] as const;
export type UnprovenCause = (typeof unprovenCauses)[number];
export type UnprovenIssuer = { readonly issuer: string; readonly cause: UnprovenCause };

type Observation = { readonly beat: number; readonly at: Moment };
type LogPosition = { readonly epoch: number; readonly seq: number };

/** Stands for every issuer, if an event doesn't name the one that it concerns. */
const anyIssuer = '*';

/**
 * For each issuer, the moment up to which the view knows every revocation, and the observations of the
 * owner's beat that prove it.
 *
 * The owner adds one to the beat when a complete drain of its database is in the log, and it starts a drain
 * only after the previous drain was answered. Suppose that a probe started at time A and observed beat b, and
 * that a later probe observes b + 2 or more. The drain for b + 2 started after the drain for b + 1 was
 * answered, and the drain for b + 1 was answered after A. So everything that was committed before A was in
 * the log when the later probe read it. The argument compares no clocks of two machines.
 *
 * It holds for one data set with one history, so a new connection or a new source discards the observations.
 * A probe asks for the source after the head, and its observation counts only if the source has not changed
 * since before.
 *
 * The proof is about the log. It is valid for an issuer if the log covers the issuer and holds no event about
 * it that this version can't read. An issuer without a proof affects neither the other issuers nor the
 * connection.
 */
export class Completeness {
  readonly #issuers: readonly string[];
  readonly #complete = new Map<string, Moment>();
  /** The same moment for the log as a whole, whichever issuers it covers. */
  #completeLog: Moment | undefined;
  #owner: string | undefined;
  #uncovered: ReadonlySet<string> = new Set();
  /** In ascending order of beat. Of those two or more below the newest beat, only the latest is kept. */
  #observations: Observation[] = [];
  #epoch = '';
  #sourceId: string | undefined;
  /** By issuer, or `anyIssuer`: the position of the last event that this version can't read. */
  readonly #unreadable = new Map<string, LogPosition>();

  /** @param issuers the issuers whose tokens are evaluated */
  constructor(issuers: readonly string[]) {
    this.#issuers = issuers;
  }

  /**
   * Call when a connection starts, and when a probe has read its source, before `observe`.
   * @returns true if the source is the same master as before
   */
  setSource({ isMaster, id }: RedisSource): boolean {
    const isSame = isMaster && id === this.#sourceId;
    if (!isSame) this.#observations = [];
    this.#sourceId = isMaster ? id : undefined;
    return isSame;
  }

  /**
   * Call when a probe has read this head. Another owner publishes what another database holds, so a change of
   * owner discards all proofs.
   * @returns true if the owner changed
   */
  followHead(head: Head): boolean {
    const isOther = this.#owner !== undefined && this.#owner !== head.owner;
    if (isOther) this.#reset();
    this.#owner = head.owner;
    this.#uncovered = new Set(this.#issuers.filter((issuer) => !head.covers.includes(issuer)));
    for (const issuer of this.#uncovered) this.#complete.delete(issuer);
    // The owner trims an entry when every token that the entry could refuse has expired, and appends
    // permanent revocations again before that. A view that starts now never reads the entry, so this view can
    // forget it too.
    for (const [issuer, { epoch, seq }] of this.#unreadable)
      if (epoch === head.epoch && seq < head.trimBelow) this.#unreadable.delete(issuer);
    return isOther;
  }

  /**
   * Records the beat that a probe observed.
   * @returns the moment up to which the log that it read is proven complete; undefined without a proof
   */
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

  /** A new connection may lead to another Redis, whose beat proves nothing about the previous one. */
  discardObservations(): void {
    this.#observations = [];
  }

  /**
   * Records that the view knows every entry of the log that was committed before `moment`. Never moves back.
   */
  completeUntil(moment: Moment | undefined): void {
    if (moment === undefined) return;
    this.#completeLog = later(this.#completeLog, moment);
    for (const issuer of this.#issuers)
      if (this.#causeOf(issuer) === undefined)
        this.#complete.set(issuer, later(this.#complete.get(issuer), moment));
  }

  /**
   * Records that the log holds an event that this version can't read. Nothing is proven about its issuer
   * until the event is trimmed, or until a new epoch lacks it.
   */
  distrust(issuer: string | undefined, position: LogPosition): void {
    const name = issuer ?? anyIssuer;
    if (issuer !== undefined && !this.#issuers.includes(issuer)) return;
    const last = this.#unreadable.get(name);
    if (last === undefined || isBefore(last, position)) this.#unreadable.set(name, position);
    if (issuer === undefined) this.#complete.clear();
    else this.#complete.delete(issuer);
  }

  /** Records that the whole log of this epoch was read. Events of older epochs no longer matter. */
  enterEpoch(epoch: number): void {
    for (const [issuer, last] of this.#unreadable) if (last.epoch < epoch) this.#unreadable.delete(issuer);
  }

  /** The issuers without a proof, as of the last head. */
  unproven(): UnprovenIssuer[] {
    return this.#issuers.flatMap((issuer) => {
      const cause = this.#causeOf(issuer);
      return cause === undefined ? [] : [{ issuer, cause }];
    });
  }

  /**
   * How long ago the view last knew every revocation of the issuer, in milliseconds; Infinity without a
   * proof.
   */
  stalenessMs(issuer: string, nowMs: number, monotonicMs: number): number {
    return since(this.#complete.get(issuer), nowMs, monotonicMs);
  }

  /** The largest staleness of the issuers that can be proven, in milliseconds; Infinity if no issuer can be proven. */
  worstStalenessMs(nowMs: number, monotonicMs: number): number {
    if (this.#issuers.length === 0) return 0;
    const provable = this.#issuers.filter((issuer) => this.#causeOf(issuer) === undefined);
    if (provable.length === 0) return Infinity;
    return Math.max(...provable.map((issuer) => this.stalenessMs(issuer, nowMs, monotonicMs)));
  }

  /** The staleness of the log itself, whichever issuers it covers, in milliseconds. */
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
