import { webcrypto } from 'node:crypto';
import { maxRevocableIdLength } from '../revocation-log/event.ts';

/** A fingerprint has this many lanes of 32 bits. */
const lanes = 4;
const smallestCapacity = 64;
/** Largest share of used slots. At this share, a look-up of an absent id passes five slots on average. */
const maxLoad = 2 / 3;
const growth = 1.5;
/**
 * Slots moved to a larger table with each added entry, so that no entry waits for the whole table. Two are
 * enough.
 */
const movedAtOnce = 8;
const maxReasons = 1000;

/**
 * Random factors for each lane and each position in an id. A fingerprint is the sum of the id's characters
 * times these factors. Two ids have the same fingerprint with a probability of at most 2^-68, even if an
 * attacker chose the ids, because the factors are secret.
 * @see Carter and Wegman, "Universal classes of hash functions", 1979
 */
const factors = webcrypto.getRandomValues(new Uint32Array(lanes * (maxRevocableIdLength + 1)));

/**
 * The fingerprint of the last id, and that id. They are shared by all tables of the process: a request looks
 * up one id in several tables and generations, and computes its fingerprint once, without allocating.
 */
const print = new Uint32Array(lanes);
let printed: string | undefined;

function fingerprint(id: string): void {
  if (id === printed) return;
  const { length } = id;
  let a = Math.imul(length, factors[0] ?? 0);
  let b = Math.imul(length, factors[1] ?? 0);
  let c = Math.imul(length, factors[2] ?? 0);
  let d = Math.imul(length, factors[3] ?? 0);
  for (let index = 0, at = lanes; index < length; index += 1, at += lanes) {
    const code = id.charCodeAt(index) + 1;
    a = (a + Math.imul(code, factors[at] ?? 0)) | 0;
    b = (b + Math.imul(code, factors[at + 1] ?? 0)) | 0;
    c = (c + Math.imul(code, factors[at + 2] ?? 0)) | 0;
    d = (d + Math.imul(code, factors[at + 3] ?? 0)) | 0;
  }
  print[0] = a;
  print[1] = b;
  print[2] = c;
  print[3] = d;
  printed = id;
}

type Slots = {
  readonly capacity: number;
  readonly prints: Uint32Array;
  /** 0 for a free slot, else the number of the reason plus 1. */
  readonly reasons: Uint16Array;
};

const makeSlots = (capacity: number): Slots => ({
  capacity,
  prints: new Uint32Array(capacity * lanes),
  reasons: new Uint16Array(capacity),
});

/**
 * Mixes two lanes of a fingerprint into a number from 0 to 2^32 - 1 that selects its slot. Consecutive ids
 * have lanes with constant differences. Without mixing, some of these differences crowd the ids into
 * neighbouring slots: in about one process of a few hundred, each look-up would pass hundreds of slots.
 */
export function spread(a: number, b: number): number {
  const mixed = Math.imul(a ^ (b >>> 15), 0x85eb_ca6b);
  return Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35) >>> 0;
}

/** The slot of the fingerprint whose lanes are in `from` at `at`, or the free slot in which to store it. */
function slotOf({ capacity, prints, reasons }: Slots, from: Uint32Array, at: number): number {
  let slot = Math.floor((spread(from[at] ?? 0, from[at + 1] ?? 0) / 2 ** 32) * capacity);
  for (;;) {
    if (reasons[slot] === 0) return slot;
    const base = slot * lanes;
    if (
      prints[base] === from[at] &&
      prints[base + 1] === from[at + 1] &&
      prints[base + 2] === from[at + 2] &&
      prints[base + 3] === from[at + 3]
    )
      return slot;
    slot = slot + 1 === capacity ? 0 : slot + 1;
  }
}

function write(slots: Slots, slot: number, from: Uint32Array, at: number): void {
  const base = slot * lanes;
  for (let lane = 0; lane < lanes; lane += 1) slots.prints[base + lane] = from[at + lane] ?? 0;
}

/**
 * Ids and the reasons for their revocation, in an open-addressed table of fingerprints. A slot takes 18
 * bytes. An entry takes 27 to 41 bytes with its share of free slots, and 45 to 68 while the table grows; in a
 * `Map` of strings it takes 86 to 259. Growing is spread over the entries that follow. If two ids had the
 * same fingerprint, a token that nobody revoked could be refused. A revoked token is always found. Cost of a
 * look-up: about 0.1 µs for an id of 36 characters, nothing in an empty table.
 */
export class IdTable {
  readonly #reasonNumbers = new Map<string | undefined, number>([[undefined, 0]]);
  readonly #reasons: (string | undefined)[] = [undefined];
  #slots: Slots | undefined;
  /** The previous, smaller table until all of its entries are moved. */
  #before: Slots | undefined;
  #moved = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(id: string): boolean {
    return this.#find(id) !== 0;
  }

  /** The reason of an id. Also undefined if the id is absent, or if its reason was new after 1000 others. */
  reasonOf(id: string): string | undefined {
    return this.#reasons[this.#find(id) - 1];
  }

  /** Adds an id of at most `maxRevocableIdLength`, or replaces its reason. @returns true if it is new */
  set(id: string, reason: string | undefined): boolean {
    this.#moveSome(movedAtOnce);
    const slots = this.#withRoom();
    const isNew = !this.has(id);
    fingerprint(id);
    const slot = slotOf(slots, print, 0);
    write(slots, slot, print, 0);
    slots.reasons[slot] = this.#numberOf(reason) + 1;
    if (isNew) this.#size += 1;
    return isNew;
  }

  /** The number of the reason plus 1; 0 if the id is absent. */
  #find(id: string): number {
    const slots = this.#slots;
    if (slots === undefined || id.length > maxRevocableIdLength) return 0;
    fingerprint(id);
    const found = slots.reasons[slotOf(slots, print, 0)] ?? 0;
    if (found !== 0 || this.#before === undefined) return found;
    return this.#before.reasons[slotOf(this.#before, print, 0)] ?? 0;
  }

  #withRoom(): Slots {
    const slots = this.#slots;
    if (slots !== undefined && this.#size + 1 <= slots.capacity * maxLoad) return slots;
    this.#moveSome(Infinity);
    this.#before = slots;
    this.#moved = 0;
    this.#slots = makeSlots(slots === undefined ? smallestCapacity : Math.ceil(slots.capacity * growth));
    return this.#slots;
  }

  #moveSome(most: number): void {
    const [before, slots] = [this.#before, this.#slots];
    if (before === undefined || slots === undefined) return;
    const end = Math.min(before.capacity, this.#moved + most);
    for (; this.#moved < end; this.#moved += 1) this.#move(before, slots, this.#moved);
    if (this.#moved === before.capacity) this.#before = undefined;
  }

  #move(before: Slots, slots: Slots, from: number): void {
    const reason = before.reasons[from] ?? 0;
    if (reason === 0) return;
    const slot = slotOf(slots, before.prints, from * lanes);
    // The id was revoked again meanwhile, and the larger table holds its newer reason.
    if (slots.reasons[slot] !== 0) return;
    write(slots, slot, before.prints, from * lanes);
    slots.reasons[slot] = reason;
  }

  #numberOf(reason: string | undefined): number {
    const known = this.#reasonNumbers.get(reason);
    if (known !== undefined) return known;
    if (this.#reasons.length > maxReasons) return 0;
    this.#reasonNumbers.set(reason, this.#reasons.length);
    return this.#reasons.push(reason) - 1;
  }
}
