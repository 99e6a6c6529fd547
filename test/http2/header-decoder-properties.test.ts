import { performance } from 'node:perf_hooks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeaderDecoder } from '../../src/http2/header-decoder.ts';
import { staticTable, type HeaderField } from '../../src/http2/header-table.ts';
import { NodeExchange, requestPseudo, requestWith } from './node-exchange.ts';
import { headerBlock } from './raw-client.ts';

const wide = { maxListBytes: 1024 * 1024, maxFields: 10_000 };
const method = Buffer.from([0x82]);

const token = "!#$%&'*+.^_`|~0123456789abcdefghijklmnopqrstuvwxyz-";
const name = fc.oneof(
  fc.constantFrom('accept', 'accept-encoding', 'cookie', 'link', 'via', 'grpc-timeout'),
  fc.string({ unit: fc.constantFrom(...token.split('')), maxLength: 40 }).map((rest) => `x-${rest}`),
);
const octet = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
  { weight: 1, arbitrary: fc.integer({ min: 0x80, max: 0xff }) },
);
const text = (maxLength: number): fc.Arbitrary<string> =>
  fc.array(octet, { maxLength }).map((octets) => String.fromCharCode(...octets));
const value = fc.oneof(
  { weight: 10, arbitrary: text(60) },
  { weight: 2, arbitrary: text(400) },
  {
    weight: 1,
    arbitrary: fc.tuple(text(5), fc.integer({ min: 1, max: 1200 })).map(([of, times]) => of.repeat(times)),
  },
);
const field = fc.tuple(name, value);
/** Requests whose fields come again and again, more of them than the table can hold. */
const requests = fc.array(field, { minLength: 1, maxLength: 60 }).chain((pool) =>
  fc.array(
    fc
      .array(fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...pool) }, { weight: 1, arbitrary: field }), {
        maxLength: 12,
      })
      .map((fields) => requestWith(...fields)),
    { minLength: 1, maxLength: 30 },
  ),
);

/** RFC 7541 §7.1.3: nghttp2 sends credentials as literals, of which an index is the name. */
const referenceTo = ([name]: HeaderField, index: number): Buffer =>
  Buffer.from(['authorization', 'cookie'].includes(name) ? [0x1f, index - 15, 0] : [0x80 + index]);

describe('blocks that nghttp2 has encoded', () => {
  it('decode to the original fields, over all requests of a connection', async () => {
    let changes = 0;
    const property = fc.asyncProperty(requests, async (lists) => {
      const decoder = new HeaderDecoder(wide);
      await NodeExchange.with({}, async (exchange, client) => {
        const blocks = await exchange.send(client, lists);
        expect(blocks.map((block) => decoder.decode(block))).toEqual(lists);
      });
      changes += decoder.tableChanges;
    });
    await fc.assert(property, { numRuns: 60 });
    expect(changes).toBeGreaterThan(100);
  });

  it('decode while the announced table size shrinks and grows', async () => {
    const sizes = fc.array(fc.constantFrom(0, 1, 64, 100, 500, 2000, 4095, 4096), {
      minLength: 1,
      maxLength: 3,
    });
    const phases = fc.array(fc.tuple(sizes, requests), { minLength: 1, maxLength: 5 });
    const property = fc.asyncProperty(phases, async (phases) => {
      const decoder = new HeaderDecoder(wide);
      await NodeExchange.with({}, async (exchange, client) => {
        for (const [sizes, lists] of phases) {
          await exchange.announce(client, sizes);
          const blocks = await exchange.send(client, lists);
          expect(blocks.map((block) => decoder.decode(block))).toEqual(lists);
        }
      });
    });
    await fc.assert(property, { numRuns: 30 });
  });

  it('use the same static table', async () => {
    // node:http2 sends no `transfer-encoding`, and no request with a status.
    const isSent = ([name]: HeaderField): boolean => name !== ':status' && name !== 'transfer-encoding';
    const requestOf = (field: HeaderField): HeaderField[] =>
      field[0].startsWith(':')
        ? [field, ...requestPseudo.filter(([name]) => name !== field[0])]
        : requestWith(field);
    const lists = staticTable.filter(isSent).map(requestOf);
    await NodeExchange.with({}, async (exchange, client) => {
      await exchange.announce(client, [0]);
      const blocks = await exchange.send(client, lists);
      const references = staticTable.flatMap((field, at) =>
        isSent(field) ? [referenceTo(field, at + 1)] : [],
      );
      expect(blocks.map((block, at) => block.includes(references[at] ?? 'none'))).not.toContain(false);
      expect(staticTable[56]).toEqual(['transfer-encoding', '']);
      expect(
        staticTable
          .slice(7, 14)
          .map(([, code]) => code)
          .join(' '),
      ).toBe('200 204 206 304 400 404 500');
      expect(staticTable).toHaveLength(61);
    });
  });
});

describe('a list over its bounds', () => {
  it('is too large with one field more than the bound', () => {
    const bounds = { maxListBytes: 1024, maxFields: 3 };
    const of = (count: number) => new HeaderDecoder(bounds).decode(Buffer.alloc(count, method));
    expect(of(3)).toHaveLength(3);
    expect(of(4)).toBe('too_large');
  });

  it('is too large with one byte more than the bound, counting 32 for each field', () => {
    const bounds = { maxListBytes: 100, maxFields: 100 };
    const of = (first: string, second: string) =>
      new HeaderDecoder(bounds).decode(
        headerBlock([
          ['name', first],
          ['name', second],
        ]),
      );
    expect(of('v'.repeat(14), 'v'.repeat(14))).toHaveLength(2);
    expect(of('v'.repeat(14), 'v'.repeat(15))).toBe('too_large');
    expect(of('v'.repeat(15), 'v'.repeat(14))).toBe('too_large');
  });

  it('is too large even if a small field follows the large one', () => {
    const decoder = new HeaderDecoder({ maxListBytes: 100, maxFields: 100 });
    const fields: HeaderField[] = [
      ['large', 'v'.repeat(100)],
      ['small', 'v'],
    ];
    expect(decoder.decode(headerBlock(fields))).toBe('too_large');
    expect(decoder.decode(headerBlock(fields.slice(1)))).toEqual(fields.slice(1));
  });

  it.each([
    ['octets', { maxListBytes: 100, maxFields: 100 }],
    ['fields', { maxListBytes: 1000, maxFields: 2 }],
  ])('leaves the table right for the next: %s', (_, bounds) => {
    const decoder = new HeaderDecoder(bounds);
    const fields: HeaderField[] = ['a', 'b', 'c'].map((name) => [name, 'v'.repeat(10)]);
    expect(decoder.decode(headerBlock(fields, true))).toBe('too_large');
    expect(decoder.decode(Buffer.from([0xbe, 0xc0]))).toEqual([fields[2], fields[0]]);
  });

  it('is malformed, not too large, when it is both', () => {
    const decoder = new HeaderDecoder({ maxListBytes: 100, maxFields: 1 });
    expect(decoder.decode(Buffer.from([0x82, 0x82, 0x82, 0x82, 0x80]))).toBe('malformed');
  });
});

describe('random bytes', () => {
  it('decode to fields within the bounds or fail, and never throw', () => {
    const bounds = { maxListBytes: 500, maxFields: 8 };
    const blocks = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(blocks, (blocks) => {
        const decoder = new HeaderDecoder(bounds);
        for (const block of blocks) {
          const fields = decoder.decode(Buffer.from(block));
          const list = typeof fields === 'string' ? [] : fields;
          expect(list.length).toBeLessThanOrEqual(bounds.maxFields);
          const octets = list.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
          expect(octets).toBeLessThanOrEqual(bounds.maxListBytes);
        }
      }),
      { numRuns: 3000 },
    );
  });

  const bytes = 64 * 1024;
  it.each([
    [
      'references to an entry that fills the table',
      [headerBlock([['a', 'b'.repeat(4000)]], true), Buffer.alloc(bytes, 0xbe)],
    ],
    ['entries that each push out another', [Buffer.alloc(bytes - (bytes % 3), Buffer.from([0x40, 0, 0]))]],
    ['resizes', [Buffer.alloc(bytes, 0x20)]],
    [
      'a string of the longest Huffman codes',
      [Buffer.from([0x00, 0xff, 0x81, 0xfd, 0x03]), Buffer.alloc(bytes, 0xff)],
    ],
    ['an integer without an end', [Buffer.alloc(bytes, 0xff)]],
  ])('take no long time: %s', (_, parts) => {
    const decoder = new HeaderDecoder({ maxListBytes: 16 * 1024, maxFields: 128 });
    const before = performance.now();
    const fields = decoder.decode(Buffer.concat(parts));
    // Linear time takes a few milliseconds; quadratic time would take minutes.
    expect(performance.now() - before).toBeLessThan(5000);
    expect([[], 'malformed', 'too_large']).toContainEqual(fields);
  });
});
