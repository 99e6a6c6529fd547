import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StreamTable } from '../../src/http2/stream-table.ts';

type Stream = { readonly id: number };
const oldestFirst = (streams: Iterable<Stream>): Stream[] =>
  [...streams].sort((one, other) => one.id - other.id);

describe('a stream table', () => {
  it('finds streams by id, however many are open and for however long', () => {
    const step = fc.record({
      // Ids only grow, and clients may skip some.
      opens: fc.integer({ min: 0, max: 400 }),
      skips: fc.constantFrom(0, 0, 0, 1, 255, 256, 10_000),
      closes: fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { maxLength: 400 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const table = new StreamTable<Stream>();
        const model = new Map<number, Stream>();
        let nextId = 1;
        for (const { opens, skips, closes } of steps) {
          nextId += 2 * skips;
          for (let count = 0; count < opens; count += 1, nextId += 2) {
            const stream = { id: nextId };
            table.add(stream);
            model.set(stream.id, stream);
          }
          for (const which of closes) {
            const stream = [...model.values()][Math.floor(which * model.size)];
            if (stream === undefined) break;
            table.delete(stream);
            model.delete(stream.id);
            expect(table.get(stream.id)).toBeUndefined();
          }
          expect(table.size).toBe(model.size);
          expect(oldestFirst(table.all())).toEqual([...model.values()]);
          for (const [id, stream] of model) expect(table.get(id)).toBe(stream);
          expect(table.get(nextId)).toBeUndefined();
        }
      }),
      { numRuns: 60 },
    );
  });

  it('takes no more memory for a high id', () => {
    const table = new StreamTable<Stream>();
    const streams = [{ id: 1 }, { id: 2 ** 31 - 1 }, { id: 2 ** 30 + 1 }];
    for (const stream of streams) table.add(stream);
    // With a slot for every id up to it, this would run out of memory.
    expect(oldestFirst(table.all())).toEqual(oldestFirst(streams));
    for (const stream of streams) expect(table.get(stream.id)).toBe(stream);
  }, 10_000);

  it('is empty after it was cleared', () => {
    const table = new StreamTable<Stream>();
    for (let id = 1; id < 2000; id += 2) table.add({ id });
    table.clear();
    expect([table.size, table.all(), table.get(1), table.get(1999)]).toEqual([0, [], undefined, undefined]);
  });

  it('ignores the deletion of a stream that it does not hold', () => {
    const table = new StreamTable<Stream>();
    const [early, late] = [{ id: 1 }, { id: 1 + 2 * 256 }];
    table.add(early);
    table.add(late);
    table.delete(early);
    table.delete(early);
    table.delete({ id: late.id + 2 });
    expect([table.size, table.get(late.id)]).toEqual([1, late]);
    table.delete(late);
    table.delete(late);
    expect(table.size).toBe(0);
  });
});
