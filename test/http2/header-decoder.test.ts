import { describe, expect, it } from 'vitest';
import { HeaderDecoder } from '../../src/http2/header-decoder.ts';
import type { HeaderField } from '../../src/http2/header-table.ts';

const wide = { maxListBytes: 1024 * 1024, maxFields: 10_000 };
const decoder = (): HeaderDecoder => new HeaderDecoder(wide);
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

/** RFC 7541 §6.2.1: a literal with incremental indexing, without Huffman coding; strings below 127 bytes. */
const added = (name: string, value: string): Buffer =>
  Buffer.concat([
    Buffer.from([0x40, name.length]),
    Buffer.from(name, 'latin1'),
    Buffer.from([value.length]),
    Buffer.from(value, 'latin1'),
  ]);
/** A field that takes `size` bytes of the table. */
const ofSize = (size: number): Buffer => {
  const length = size - 32 - 1;
  const rest = length - 127;
  const bytes = rest < 128 ? [rest] : [(rest % 128) + 128, Math.floor(rest / 128)];
  return Buffer.concat([Buffer.from([0x40, 1, 0x61, 127, ...bytes]), Buffer.alloc(length, 'b')]);
};

const plainRequests = [
  '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
  '8286 84be 5808 6e6f 2d63 6163 6865',
  '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
];
const codedRequests = [
  '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
  '8286 84be 5886 a8eb 1064 9cbf',
  '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
];
const requestFields: HeaderField[][] = [
  [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'www.example.com'],
  ],
  [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'www.example.com'],
    ['cache-control', 'no-cache'],
  ],
  [
    [':method', 'GET'],
    [':scheme', 'https'],
    [':path', '/index.html'],
    [':authority', 'www.example.com'],
    ['custom-key', 'custom-value'],
  ],
];

const plainResponses = [
  `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120
   474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
  '4803 3330 37c1 c0bf',
  `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738
   666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33
   3630 303b 2076 6572 7369 6f6e 3d31`,
];
const codedResponses = [
  `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718
   63c7 8f0b 97c8 e9ae 82ae 43d3`,
  '4883 640e ffc1 c0bf',
  `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7
   b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
];
const cookie = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
const [date1, date2] = ['Mon, 21 Oct 2013 20:13:21 GMT', 'Mon, 21 Oct 2013 20:13:22 GMT'];
const location = 'https://www.example.com';
const response = (status: string, date: string, ...more: HeaderField[]): HeaderField[] => [
  [':status', status],
  ['cache-control', 'private'],
  ['date', date],
  ['location', location],
  ...more,
];
const responseFields = [
  response('302', date1),
  response('307', date1),
  response('200', date2, ['content-encoding', 'gzip'], ['set-cookie', cookie]),
];
/** The table after each block, newest entry first. */
const responseTables: HeaderField[][] = [
  response('302', date1).toReversed(),
  [[':status', '307'], ...response('302', date1).slice(1).toReversed()],
  [
    ['set-cookie', cookie],
    ['content-encoding', 'gzip'],
    ['date', date2],
  ],
];

describe('the examples of RFC 7541, Appendix C', () => {
  it.each([
    [
      'C.2.1',
      '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
      'custom-key',
      'custom-header',
    ],
    ['C.2.2', '040c 2f73 616d 706c 652f 7061 7468', ':path', '/sample/path'],
    ['C.2.3', '1008 7061 7373 776f 7264 0673 6563 7265 74', 'password', 'secret'],
    ['C.2.4', '82', ':method', 'GET'],
  ])('%s: a field by itself', (section, block, name, value) => {
    const ours = decoder();
    expect(ours.decode(hex(block))).toEqual([[name, value]]);
    // One of these enters the table.
    expect(ours.decode(hex('be'))).toEqual(section === 'C.2.1' ? [[name, value]] : 'malformed');
  });

  it.each([
    ['C.3: requests', plainRequests],
    ['C.4: requests with Huffman coding', codedRequests],
  ])('%s', (_, blocks) => {
    const ours = decoder();
    expect(blocks.map((block) => ours.decode(hex(block)))).toEqual(requestFields);
    expect(ours.decode(hex('be bf c0'))).toEqual([
      ['custom-key', 'custom-value'],
      ['cache-control', 'no-cache'],
      [':authority', 'www.example.com'],
    ]);
    expect(ours.decode(hex('c1'))).toBe('malformed');
  });

  it.each([
    ['C.5: responses that evict', plainResponses],
    ['C.6: responses that evict, with Huffman coding', codedResponses],
  ])('%s', (_, blocks) => {
    const ours = decoder();
    expect(ours.decode(hex('3fe1 01'))).toEqual([]);
    blocks.forEach((block, at) => {
      expect(ours.decode(hex(block))).toEqual(responseFields[at]);
      const table = responseTables[at] ?? [];
      expect(ours.decode(Buffer.from(table.map((_, index) => 0x80 + 62 + index)))).toEqual(table);
    });
    expect(ours.decode(hex('c1'))).toBe('malformed');
  });
});

describe('an integer', () => {
  it('may be longer than its prefix: C.1.2, as the size of the table', () => {
    const ours = decoder();
    expect(ours.decode(hex('3f9a 0a'))).toEqual([]);
    expect(ours.decode(ofSize(1337))).toHaveLength(1);
    expect(ours.decode(hex('be'))).toHaveLength(1);
    expect(ours.decode(ofSize(1338))).toHaveLength(1);
    expect(ours.decode(hex('be'))).toBe('malformed');
  });

  it('may have redundant trailing bytes, up to a bound', () => {
    const value = Buffer.alloc(127, 'v');
    const block = (length: string): Buffer => Buffer.concat([hex(`04 ${length}`), value]);
    expect(decoder().decode(block('7f 00'))).toEqual([[':path', value.toString()]]);
    expect(decoder().decode(block('7f 80 80 80 80 00'))).toEqual([[':path', value.toString()]]);
    expect(decoder().decode(block('7f 80 80 80 80 80 00'))).toBe('malformed');
  });

  it.each([
    ['an index cut off after its prefix', 'ff'],
    ['an index cut off within', 'ff 80'],
    ['the index of a name cut off', '7f'],
    ['the index of a name cut off, never indexed', '1f 80'],
    ['a length cut off', '00 7f'],
    ['a length cut off within', '04 7f 80 80'],
    ['a size cut off', '3f e1'],
    ['an index without an end', `ff ${'ff'.repeat(40)}`],
    ['an index of zero without an end', `ff ${'80'.repeat(40)}`],
    // Truncated to 32 bits, each of these would be valid.
    ['the index 2^32 + 2', 'ff 83 ff ff ff 0f'],
    ['the index of a name 2^32 + 2', '7f c3 ff ff ff 0f 00'],
    ['a length of 2^32 + 1', '04 7f 82 ff ff ff 0f 61'],
    ['the size 2^32', '3f e1 ff ff ff 0f'],
    ['a size of 2^64', '3f e1 ff ff ff ff ff ff ff ff 01'],
  ])('is malformed: %s', (_, block) => {
    expect(decoder().decode(hex(block))).toBe('malformed');
  });
});

describe('a field', () => {
  it.each([
    ['the index 0', '80'],
    ['an index beyond the static table, while the other is empty', 'be'],
    ['an index far beyond', 'ff ff 7f'],
    ['a name with an index beyond the tables', '7e 01 61'],
    ['a name of the other table, not indexed', '0f 2f 01 61'],
    ['a literal without a name', '40'],
    ['a literal whose name is cut off', '40 03 61 62'],
    ['a literal without a value', '40 01 61'],
    ['a literal whose value is cut off', '40 01 61 02 62'],
    ['a literal with a known name and no value', '04'],
    ['a value with a Huffman code that is cut off', '04 82 1f'],
    ['something malformed after a good one', '82 80'],
  ])('is malformed: %s', (_, block) => {
    expect(decoder().decode(hex(block))).toBe('malformed');
  });

  it('may have an empty name, an empty value, and every byte value', () => {
    expect(decoder().decode(hex('00 00 00'))).toEqual([['', '']]);
    expect(decoder().decode(hex('00 80 80'))).toEqual([['', '']]);
    const all = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
    expect(decoder().decode(Buffer.concat([hex('04 7f 81 01'), all]))).toEqual([
      [':path', all.toString('latin1')],
    ]);
  });

  it('does not keep the block in memory', () => {
    const ours = decoder();
    const block = added('name', 'value');
    const fields = ours.decode(block);
    block.fill(0);
    expect(fields).toEqual([['name', 'value']]);
    expect(ours.decode(hex('be'))).toEqual([['name', 'value']]);
  });
});

describe('the dynamic table', () => {
  it('may be resized before the first field, even twice, and nowhere else', () => {
    expect(decoder().decode(hex('20 82'))).toEqual([[':method', 'GET']]);
    expect(decoder().decode(hex('20 3fe1 1f 82'))).toEqual([[':method', 'GET']]);
    expect(decoder().decode(hex('82 20'))).toBe('malformed');
    expect(decoder().decode(hex('20 82 20'))).toBe('malformed');
  });

  it('has 4096 bytes at most', () => {
    expect(decoder().decode(hex('3fe1 1f'))).toEqual([]);
    expect(decoder().decode(hex('3fe2 1f'))).toBe('malformed');
    const ours = decoder();
    ours.decode(ofSize(4096));
    expect(ours.decode(hex('be'))).toHaveLength(1);
    ours.decode(ofSize(33 + 127));
    expect(ours.decode(hex('bf'))).toBe('malformed');
  });

  it('is emptied by an entry that is larger than it', () => {
    const ours = decoder();
    ours.decode(added('name', 'value'));
    expect(ours.decode(ofSize(4097))).toEqual([['a', 'b'.repeat(4064)]]);
    expect(ours.decode(hex('be'))).toBe('malformed');
    ours.decode(added('next', 'value'));
    expect(ours.decode(hex('be'))).toEqual([['next', 'value']]);
  });

  it('evicts its oldest entries when it shrinks', () => {
    const ours = decoder();
    for (const name of ['a', 'b', 'c']) ours.decode(added(name, name));
    // Two entries of 34 bytes.
    expect(ours.decode(hex('3f25 be bf'))).toEqual([
      ['c', 'c'],
      ['b', 'b'],
    ]);
    expect(ours.decode(hex('3fe1 1f c0'))).toBe('malformed');
  });

  it('counts its changes', () => {
    const ours = decoder();
    const changes = [hex('82'), added('a', 'b'), hex('be'), hex('04 01 61'), hex('20'), hex('82')].map(
      (block) => {
        ours.decode(block);
        return ours.tableChanges;
      },
    );
    expect(changes).toEqual([0, 1, 1, 1, 2, 2]);
  });
});
