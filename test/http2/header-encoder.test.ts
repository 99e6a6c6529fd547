import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeaderDecoder } from '../../src/http2/header-decoder.ts';
import { HeaderEncoder, type HeaderList } from '../../src/http2/header-encoder.ts';
import { ask, NodeExchange, requestPseudo } from './node-exchange.ts';

const wide = { maxListBytes: 1024 * 1024, maxFields: 10_000 };
const head: HeaderList = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
];
const trailers: HeaderList = [
  ['grpc-status', '0'],
  ['grpc-message', ''],
];
const once: HeaderList = [
  [':status', '404'],
  ['x-once', 'v'.repeat(300)],
];
const isUpdateOrAddition = (first: number | undefined): boolean => [0x20, 0x40].includes((first ?? 0) & 0xe0);

const latin1 = (range: { min: number; max: number }, maxLength: number): fc.Arbitrary<string> =>
  fc.array(fc.integer(range), { maxLength }).map((codes) => String.fromCharCode(...codes));
const token = fc.string({
  unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz-0123456789'.split('')),
  maxLength: 20,
});
const field = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.constantFrom(['accept-encoding', 'gzip, deflate'] as const, ['vary', ''] as const),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(
      token.map((name) => `x-${name}`),
      latin1({ min: 0x21, max: 0x7e }, 30),
    ),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant('x-long'), latin1({ min: 0xa0, max: 0xff }, 1500)) },
);
const answerWith = (status: string, fields: HeaderList): HeaderList => [[':status', status], ...fields];
const list: fc.Arbitrary<HeaderList> = fc
  .tuple(fc.constantFrom('200', '404', '503'), fc.array(field, { maxLength: 10 }))
  .map(([status, fields]) => answerWith(status, fields));
/** Field lists, how many of them are repeated, and the order in which they are sent. */
const traffic = fc.array(list, { minLength: 1, maxLength: 12 }).chain((lists) =>
  fc.record({
    lists: fc.constant(lists),
    repeated: fc.nat({ max: lists.length }).map((count) => new Set(lists.slice(0, count))),
    order: fc.array(fc.constantFrom(...lists), { minLength: 1, maxLength: 40 }),
  }),
);

describe('a list that is encoded', () => {
  it('decodes to the original fields, in any order of lists', () => {
    fc.assert(
      fc.property(traffic, ({ repeated, order }) => {
        const encoder = new HeaderEncoder(repeated);
        const decoder = new HeaderDecoder(wide);
        for (const list of order) expect(decoder.decode(encoder.encode(list))).toEqual(list);
      }),
      { numRuns: 500 },
    );
  });

  it('is decoded by nghttp2 to the original fields', async () => {
    const property = fc.asyncProperty(traffic, async ({ repeated, order }) => {
      const encoder = new HeaderEncoder(repeated);
      const rest = [...order];
      const answer = (): Buffer => encoder.encode(rest.shift() ?? []);
      await NodeExchange.with({ answer }, async (_, client) => {
        const answers = await Promise.all(order.map(() => ask(client, requestPseudo)));
        expect(answers).toEqual(order);
      });
    });
    await fc.assert(property, { numRuns: 60 });
  });

  it('may hold strings of every length around the limits of the integer encoding', () => {
    for (const length of [0, 126, 127, 128, 254, 255, 256, 127 + 16_383, 127 + 16_384]) {
      const list: HeaderList = [['x-long', 'é'.repeat(length)]];
      expect(new HeaderDecoder(wide).decode(new HeaderEncoder(new Set()).encode(list))).toEqual(list);
    }
  });
});

describe('a repeated list', () => {
  it('is encoded to one byte per field', () => {
    const encoder = new HeaderEncoder(new Set([head, trailers]));
    encoder.encode(head);
    encoder.encode(trailers);
    expect([...encoder.encode(head)]).toEqual([0x88, 0x80 + 64]);
    expect([...encoder.encode(trailers)]).toEqual([0x80 + 63, 0x80 + 62]);
    expect(encoder.encode(head)).toBe(encoder.encode(head));
  });

  it('gets other indexes when another list enters the table', () => {
    const encoder = new HeaderEncoder(new Set([head, trailers]));
    const decoder = new HeaderDecoder(wide);
    const sent = (list: HeaderList): number[] => {
      const block = encoder.encode(list);
      expect(decoder.decode(block)).toEqual(list);
      return [...block];
    };
    sent(head);
    expect(sent(head)).toEqual([0x88, 0x80 + 62]);
    expect(sent(head)).toEqual([0x88, 0x80 + 62]);
    sent(trailers);
    expect(sent(head)).toEqual([0x88, 0x80 + 64]);
  });

  it('adds a field that lists share only once', () => {
    const same: HeaderList = [...head, ['x-more', '1']];
    const encoder = new HeaderEncoder(new Set([head, same]));
    encoder.encode(head);
    encoder.encode(same);
    expect([...encoder.encode(same)]).toEqual([0x88, 0x80 + 63, 0x80 + 62]);
  });

  it('does not enter a full table, which never evicts', () => {
    const lists = Array.from({ length: 5 }, (_, at): HeaderList => [[`x-${at}`, 'v'.repeat(1000)]]);
    const encoder = new HeaderEncoder(new Set(lists));
    const decoder = new HeaderDecoder(wide);
    for (const list of lists) expect(decoder.decode(encoder.encode(list))).toEqual(list);
    expect(lists.map((list) => encoder.encode(list).length)).toEqual([1, 1, 1, 1008, 1008]);
    for (const list of lists) expect(decoder.decode(encoder.encode(list))).toEqual(list);
  });

  it('may fill the table to its last byte', () => {
    const of = (value: number): HeaderList => [['a', 'v'.repeat(value)]];
    const [full, over] = [of(4096 - 33), of(4096 - 32)];
    const encoder = new HeaderEncoder(new Set([full, over]));
    encoder.encode(over);
    expect(encoder.encode(over).length).toBeGreaterThan(4000);
    encoder.encode(full);
    expect([...encoder.encode(full)]).toEqual([0xbe]);
  });
});

describe('a list that is not repeated', () => {
  it('enters neither table, however often it is sent', () => {
    const encoder = new HeaderEncoder(new Set([head]));
    const decoder = new HeaderDecoder(wide);
    for (let round = 0; round < 3; round += 1) {
      const block = encoder.encode(once);
      expect(block.length).toBeGreaterThan(300);
      expect(decoder.decode(block)).toEqual(once);
    }
    expect(decoder.tableChanges).toBe(0);
  });

  it('may refer to fields of other lists', () => {
    const encoder = new HeaderEncoder(new Set([head]));
    encoder.encode(head);
    expect([...encoder.encode([...head])]).toEqual([0x88, 0x80 + 62]);
  });
});

describe('a client that sets its table size', () => {
  it.each([0, 100, 4095, 8192, 2 ** 32 - 1])('to %i gets one size update to 0', (size) => {
    const encoder = new HeaderEncoder(new Set([head, trailers]));
    const decoder = new HeaderDecoder(wide);
    for (const list of [head, trailers, head]) decoder.decode(encoder.encode(list));
    encoder.setPeerTableSize(size);
    const blocks = [head, trailers, head, trailers, once].map((list) => encoder.encode(list));
    expect(blocks.map((block) => decoder.decode(block))).toEqual([head, trailers, head, trailers, once]);
    expect(blocks.map((block) => block.includes(0x80 + 62) || block.includes(0x80 + 63))).not.toContain(true);
    // The update is the only change: nothing was added.
    expect(blocks[0]?.[0]).toBe(0x20);
    expect(blocks.slice(1).some((block) => isUpdateOrAddition(block[0]))).toBe(false);
    expect(decoder.tableChanges).toBe(4);
  });

  it('to the default changes nothing', () => {
    const encoder = new HeaderEncoder(new Set([head]));
    encoder.encode(head);
    encoder.setPeerTableSize(4096);
    expect([...encoder.encode(head)]).toEqual([0x88, 0x80 + 62]);
  });

  it('and then back gets another size update, and no references', () => {
    const encoder = new HeaderEncoder(new Set([head]));
    const decoder = new HeaderDecoder(wide);
    for (const size of [4096, 0, 4096]) {
      encoder.setPeerTableSize(size);
      expect(decoder.decode(encoder.encode(head))).toEqual(head);
    }
    expect(encoder.encode(head).length).toBeGreaterThan(10);
    encoder.setPeerTableSize(8192);
    expect(encoder.encode(once)[0]).toBe(0x20);
    expect(encoder.encode(once)[0]).not.toBe(0x20);
  });

  it.each([0, 100, 4096, 8192])('works with nghttp2, starting with %i', async (size) => {
    const encoder = new HeaderEncoder(new Set([head]));
    const answer = (): Buffer => encoder.encode(head);
    const onTableSize = (size: number): void => encoder.setPeerTableSize(size);
    await NodeExchange.with({ answer, onTableSize, headerTableSize: size }, async (_, client) => {
      for (let round = 0; round < 3; round += 1) expect(await ask(client, requestPseudo)).toEqual(head);
    });
  });

  it('works with nghttp2, for any sizes between responses', async () => {
    const sizes = fc.array(fc.constantFrom(0, 100, 4096, 8192), { minLength: 1, maxLength: 6 });
    const property = fc.asyncProperty(sizes, async (sizes) => {
      const encoder = new HeaderEncoder(new Set([head]));
      const answer = (): Buffer => encoder.encode(head);
      const onTableSize = (size: number): void => encoder.setPeerTableSize(size);
      await NodeExchange.with({ answer, onTableSize }, async (_, client) => {
        for (const headerTableSize of sizes) {
          expect(await ask(client, requestPseudo)).toEqual(head);
          client.settings({ headerTableSize });
          expect(await ask(client, requestPseudo)).toEqual(head);
        }
      });
    });
    await fc.assert(property, { numRuns: 40 });
  });
});
