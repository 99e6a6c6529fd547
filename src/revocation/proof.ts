import type { Head } from './head.ts';

/** A moment on both clocks: either may stand still or step while the other doesn't. */
export type Moment = { readonly monotonicMs: number; readonly wallMs: number };

/**
 * Where a probe read: the identity of the data set, which changes when a server is promoted or copies another one, and
 * whether it is the master. A replica shows the past: what its beat goes through may have happened long ago.
 */
export type Source = { readonly isMaster: boolean; readonly id: string };

type Sighting = { readonly beat: number; readonly at: Moment };

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
 */
export class Proof {
  readonly #complete = new Map<string, Moment>();
  /** By rising beat; of all that are two or more below the newest only the latest is kept. */
  #sightings: Sighting[] = [];
  #epoch = '';
  #source: string | undefined;
  /** Issuers, or `*` for all, of whom an epoch holds events that can't be understood here; and that epoch. */
  readonly #beyond = new Map<string, number>();

  /** A connection begins, or a probe has read its source. Call before `sight`. @returns whether it is as before */
  from({ isMaster, id }: Source): boolean {
    const isSame = isMaster && id === this.#source;
    if (!isSame) this.#sightings = [];
    this.#source = isMaster ? id : undefined;
    return isSame;
  }

  /** Notes what a probe saw. @returns the moment before which everything is in the log it saw, if any is proven */
  sight(head: Head, startedAt: Moment): Moment | undefined {
    const epoch = `${head.epoch} ${head.owner}`;
    const newest = this.#sightings.at(-1);
    if (epoch !== this.#epoch || (newest !== undefined && newest.beat > head.beat)) this.#sightings = [];
    this.#epoch = epoch;
    const proving = this.#sightings.findLast(({ beat }) => beat <= head.beat - 2);
    this.#sightings = this.#sightings.filter(
      (sighting) => sighting === proving || (sighting.beat > head.beat - 2 && sighting.beat < head.beat),
    );
    this.#sightings.push({ beat: head.beat, at: startedAt });
    return proving?.at;
  }

  /** A new connection may lead to another Redis, whose beat says nothing about the one before. */
  forgetSightings(): void {
    this.#sightings = [];
  }

  /** Everything of this issuer committed before `moment` is known. Never moves back. */
  complete(issuer: string, moment: Moment): void {
    if (this.#beyond.has(issuer) || this.#beyond.has('*')) return;
    const before = this.#complete.get(issuer);
    if (before === undefined || before.monotonicMs < moment.monotonicMs) this.#complete.set(issuer, moment);
  }

  /** Nothing is proven of this issuer any more. */
  withdraw(issuer: string): void {
    this.#complete.delete(issuer);
  }

  /** Another owner vouches for what another database holds: all starts anew. */
  withdrawAll(): void {
    this.#complete.clear();
    this.#beyond.clear();
    this.#sightings = [];
  }

  /** The epoch holds an event of a format unknown here: nothing of its issuer is proven while the epoch lasts. */
  distrust(issuer: string | undefined, epoch: number): void {
    const name = issuer ?? '*';
    this.#beyond.set(name, Math.max(epoch, this.#beyond.get(name) ?? 0));
    if (issuer === undefined) this.#complete.clear();
    else this.#complete.delete(issuer);
  }

  /** This epoch's log was read whole; what older ones held no longer matters. */
  enter(epoch: number): void {
    for (const [issuer, last] of this.#beyond) if (last < epoch) this.#beyond.delete(issuer);
  }

  /** True until something is proven of some issuer. */
  get isEmpty(): boolean {
    return this.#complete.size === 0;
  }

  /** Milliseconds since which revocations of the issuer may be unknown; Infinity without a proof. */
  stalenessMs(issuer: string, nowMs: number, monotonicMs: number): number {
    const since = this.#complete.get(issuer);
    if (since === undefined) return Infinity;
    return Math.max(monotonicMs - since.monotonicMs, nowMs - since.wallMs, 0);
  }
}
