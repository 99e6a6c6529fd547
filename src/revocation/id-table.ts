import { webcrypto } from 'node:crypto';
import { maxRevocableIdLength } from '../revocation-log/event.ts';

/** Lanes of 32 bits of a fingerprint. */
const lanes = 4;
const smallestCapacity = 64;
/** Entries for each slot, at most: short of it a look-up of what is absent passes five slots on average. */
const maxLoad = 2 / 3;
const growth = 1.5;
/** Slots moved to a larger table with each entry added, so that no entry waits for all; two would do. */
const movedAtOnce = 8;
const maxReasons = 1000;

/**
 * Random factors for each lane and place of an id. A fingerprint is the sum of an id's characters times these, which
 * makes any two ids differ but for one chance in 2^68 or less, whoever chose them: nobody outside knows the factors.
 * @see Carter and Wegman, "Universal classes of hash functions", 1979
 */
const factors = webcrypto.getRandomValues(new Uint32Array(lanes * (maxRevocableIdLength + 1)));

/** Of the id fingerprinted last; a look-up in two tables needs it once. */
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
  /** 0: free; else the number of the reason, and 1. */
  readonly reasons: Uint16Array;
};

const makeSlots = (capacity: number): Slots => ({
  capacity,
  prints: new Uint32Array(capacity * lanes),
  reasons: new Uint16Array(capacity),
});

/**
 * Where a fingerprint belongs, by two of its lanes; 0 to 2^32 - 1. Ids that count up have lanes in equal steps: taken as
 * they are, these crowd the slots in one process of some hundred, where each look-up then passes hundreds of them.
 */
export function spread(a: number, b: number): number {
  const mixed = Math.imul(a ^ (b >>> 15), 0x85eb_ca6b);
  return Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35) >>> 0;
}

/** The slot of the fingerprint whose lanes are in `from` at `at`, or the free one where it belongs. */
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
 * Ids and the reasons they were given, in an open-addressed table of fingerprints. An entry takes 18 bytes in a slot, 27
 * to 41 with the free ones, and while the table grows 45 to 68; a `Map` of strings takes 86 to 259. Growing is spread over
 * the entries that follow. Two ids of one fingerprint would be taken for one, so a token could be refused that nobody
 * revoked; that none is let through that was revoked does not rest on chance.
 * Cost of a look-up: about 0.1 µs for an id of 36 characters, nothing in an empty table.
 */
export class IdTable {
  readonly #reasonNumbers = new Map<string | undefined, number>([[undefined, 0]]);
  readonly #reasons: (string | undefined)[] = [undefined];
  #slots: Slots | undefined;
  /** The smaller table before, as long as not all of it was moved. */
  #before: Slots | undefined;
  #moved = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(id: string): boolean {
    return this.#find(id) !== 0;
  }

  /** Undefined too when the id is absent, or came after a thousand other reasons. */
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

  /** The number of the reason, and 1; 0 if the id is absent. */
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
    // It was revoked again since, for a newer reason.
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
