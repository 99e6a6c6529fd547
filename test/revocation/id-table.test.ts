import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IdTable, spread } from '../../src/revocation/id-table.ts';

const ids = fc.oneof(
  fc.string({ minLength: 1, maxLength: 12 }),
  fc.string({ minLength: 1, maxLength: 256, unit: 'binary' }).map((text) => text.slice(0, 256)),
  // Similar ids: a fingerprint without positions or lengths would confuse them.
  fc.tuple(fc.nat(300), fc.constantFrom('', '0', '\0', 'a')).map(([count, end]) => `session-${count}${end}`),
);
const reasons = fc.constantFrom(undefined, 'logout', 'compromise', 'reuse');

const entry = (index: number): string => `0b8e7a5c-${index}-4f0e-9d6c-${index * 7919}`;

describe('a table of ids', () => {
  it('answers like a map of strings, whatever ids are added in whatever order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(ids, reasons), { maxLength: 400 }),
        fc.array(ids, { maxLength: 50 }),
        (added, asked) => {
          const table = new IdTable();
          const map = new Map<string, string | undefined>();
          for (const [id, reason] of added) {
            expect(table.set(id, reason)).toBe(!map.has(id));
            map.set(id, reason);
            expect(table.size).toBe(map.size);
          }
          for (const id of [...asked, ...map.keys()]) {
            expect(table.has(id)).toBe(map.has(id));
            expect(table.reasonOf(id)).toBe(map.get(id));
          }
        },
      ),
    );
  });

  it('loses no id while it grows, and confuses none of 200,000 ids', () => {
    const table = new IdTable();
    for (let index = 0; index < 200_000; index += 1) {
      table.set(entry(index), index % 2 === 0 ? 'logout' : undefined);
      // This id may still be in the smaller table.
      const earlier = Math.floor(index / 2);
      if (!table.has(entry(earlier))) throw new Error(`${earlier} was lost when ${index} was added`);
    }
    expect(table.size).toBe(200_000);
    let wrong = 0;
    for (let index = 0; index < 200_000; index += 1) {
      if (table.reasonOf(entry(index)) !== (index % 2 === 0 ? 'logout' : undefined)) wrong += 1;
      if (table.has(entry(index + 200_000))) wrong += 1;
    }
    expect(wrong).toBe(0);
  });

  it('keeps the newest reason of an id that is added again while the table grows', () => {
    const table = new IdTable();
    table.set('again', 'first');
    for (let index = 0; index < 42; index += 1) table.set(entry(index), 'other');
    table.set('again', 'second');
    for (let index = 42; index < 200; index += 1) table.set(entry(index), 'other');
    expect(table.reasonOf('again')).toBe('second');
    expect(table.size).toBe(201);
  });

  it('treats an id that is too long for a revocation as absent', () => {
    const table = new IdTable();
    table.set('a'.repeat(256), 'logout');
    expect(table.has('a'.repeat(256))).toBe(true);
    expect(table.has('a'.repeat(257))).toBe(false);
    expect(table.has('a'.repeat(100_000))).toBe(false);
  });

  it('holds an id without its reason after a thousand reasons', () => {
    const table = new IdTable();
    for (let index = 0; index < 1100; index += 1) table.set(`id-${index}`, `reason-${index}`);
    expect(table.reasonOf('id-5')).toBe('reason-5');
    expect(table.has('id-1099')).toBe(true);
    expect(table.reasonOf('id-1099')).toBeUndefined();
  });
});

/**
 * The largest number of slots that a look-up passes: 20,000 ids with fingerprints in these steps, two thirds
 * of slots used.
 */
function longestWay(stepA: number, stepB: number): number {
  const taken = new Uint8Array(30_000);
  let longest = 0;
  for (let index = 0; index < 20_000; index += 1) {
    const place = spread(Math.imul(index, stepA), Math.imul(index, stepB));
    let slot = Math.floor((place / 2 ** 32) * taken.length);
    let way = 1;
    for (; taken[slot] === 1; way += 1) slot = (slot + 1) % taken.length;
    taken[slot] = 1;
    longest = Math.max(longest, way);
  }
  return longest;
}

describe('the slots of consecutive ids', () => {
  it.each([
    ['close to each other', 7],
    ['a third of the range apart, almost', Math.floor(2 ** 32 / 3) + 9],
    ['half of the range apart, almost', 2 ** 31 + 3],
    ['a multiple of a power of two apart', 0x0123_0000],
  ])('are spread when their fingerprints are %s', (_, step) => {
    expect(longestWay(step, 0x5bd1_e995)).toBeLessThan(200);
  });
});
