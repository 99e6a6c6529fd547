import type { Clock } from '../../../src/runtime/clock.ts';

/** A deterministic random number generator. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 0 to 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(items.length)];
  }
}

type Scheduled = { readonly at: number; readonly order: number; run(): void };

/** The time that wall clocks without an offset show when true time is 0; ms. */
const startOfTimeMs = 1_700_000_000_000;

/**
 * True time, and the schedule of everything that happens. The rest of the model knows time only through it.
 */
export class World {
  readonly random: Random;
  now = 0;
  /** Some answers are delayed by up to this long; ms. */
  lag = 0;
  /** Pages of a seed, and its switch, take up to this long; ms. */
  pageMs = 0;
  readonly #heap: Scheduled[] = [];
  #order = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  after(ms: number, run: () => void): void {
    const heap = this.#heap;
    heap.push({ at: this.now + ms, order: (this.#order += 1), run });
    for (let child = heap.length - 1; child > 0;) {
      const parent = (child - 1) >> 1;
      if (!this.#isBefore(child, parent)) break;
      this.#swap(child, parent);
      child = parent;
    }
  }

  /** Runs what is scheduled up to `until`. */
  run(until: number): void {
    for (let first = this.#heap[0]; first !== undefined && first.at <= until; first = this.#heap[0]) {
      this.#removeFirst();
      this.now = first.at;
      first.run();
    }
    this.now = until;
  }

  /** Latency of the network in one direction; ms. */
  latency(): number {
    if (this.lag > 0 && this.random.chance(0.2)) return this.random.between(0, this.lag);
    return this.random.between(0.1, 2);
  }

  clock(wallOffset: () => number = () => 0): Clock {
    return {
      monotonicMs: () => this.now + 1000,
      nowMs: () => startOfTimeMs + this.now + wallOffset(),
    };
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let parent = 0; ;) {
      const left = 2 * parent + 1;
      let least = parent;
      if (left < heap.length && this.#isBefore(left, least)) least = left;
      if (left + 1 < heap.length && this.#isBefore(left + 1, least)) least = left + 1;
      if (least === parent) return;
      this.#swap(least, parent);
      parent = least;
    }
  }

  #isBefore(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return false;
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #swap(one: number, other: number): void {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return;
    this.#heap[one] = b;
    this.#heap[other] = a;
  }
}

/** A process that can be killed and frozen. While it is frozen, its work is postponed. */
export class Process {
  readonly world: World;
  isAlive = true;
  #isFrozen = false;
  #waiting: (() => void)[] = [];

  constructor(world: World) {
    this.world = world;
  }

  run(what: () => void): void {
    if (!this.isAlive) return;
    if (this.#isFrozen) this.#waiting.push(what);
    else what();
  }

  after(ms: number, what: () => void): void {
    this.world.after(ms, () => this.run(what));
  }

  kill(): void {
    this.isAlive = false;
    this.#waiting = [];
  }

  freeze(ms: number): void {
    if (this.#isFrozen) return;
    this.#isFrozen = true;
    this.world.after(ms, () => {
      this.#isFrozen = false;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const what of waiting) this.run(what);
    });
  }
}
