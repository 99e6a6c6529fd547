import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeaderDecoder } from '../../src/http2/header-decoder.ts';
import { decodeHuffman } from '../../src/http2/huffman.ts';
import { NodeExchange, requestWith } from './node-exchange.ts';

/** Codes of RFC 7541, Appendix B. */
const codes = {
  nul: '1111111111000',
  '0': '00000',
  a: '00011',
  b: '100011',
  c: '00100',
  // Of 28 and of 30 bits.
  shiftOut: '1111111111111111111111101011',
  newline: '111111111111111111111111111100',
  returned: '111111111111111111111111111101',
  end: '111111111111111111111111111111',
};

/** The bits, padded with ones to whole bytes. */
function packed(bits: string): Buffer {
  const whole = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from(whole.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? []);
}

const decode = (bytes: Buffer): string | undefined => decodeHuffman(bytes, 0, bytes.length);
// So many that nghttp2 always prefers Huffman coding.
const filling = 'a'.repeat(80);

describe('a Huffman-coded string', () => {
  it('may hold every byte value that nghttp2 can encode', async () => {
    const values = Array.from({ length: 255 }, (_, byte) => `${String.fromCharCode(byte + 1)}${filling}`);
    await NodeExchange.with({}, async (exchange, client) => {
      const blocks = await exchange.send(
        client,
        values.map((value) => requestWith(['x-byte', value])),
      );
      const decoder = new HeaderDecoder({ maxListBytes: 10_000, maxFields: 10 });
      const seen = blocks.map((block) => decoder.decode(block));
      expect(seen).toEqual(values.map((value) => requestWith(['x-byte', value])));
      expect(blocks.some((block) => block.includes(filling))).toBe(false);
    });
  });

  it('may hold any sequence of byte values', async () => {
    const bytes = fc.array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 50 });
    const values = bytes.map((codes) => {
      const value = String.fromCharCode(...codes);
      return `${value}${filling.repeat(10)}${value}`;
    });
    const property = fc.asyncProperty(fc.array(values, { minLength: 1, maxLength: 40 }), async (values) => {
      const requests = values.map((value) => requestWith(['x-bytes', value]));
      const decoder = new HeaderDecoder({ maxListBytes: 10_000, maxFields: 10 });
      await NodeExchange.with({}, async (exchange, client) => {
        const blocks = await exchange.send(client, requests);
        expect(blocks.map((block) => decoder.decode(block))).toEqual(requests);
        expect(blocks.some((block) => block.includes(filling))).toBe(false);
      });
    });
    await fc.assert(property, { numRuns: 40 });
  });

  it.each([
    ['the empty string', '', ''],
    ['a NUL, which nghttp2 cannot send', codes.nul + codes.a, '\0a'],
    ['codes of 28 bits', codes.shiftOut + codes.shiftOut + codes.a, '\x0e\x0ea'],
    ['codes of 30 bits', codes.newline + codes.returned, '\n\r'],
    ['a string without padding', codes['0'].repeat(8), '00000000'],
    ['7 bits of padding', codes.nul + codes.a + codes['0'] + codes.b + codes.b + codes.b, '\0a0bbb'],
  ])('is decoded: %s', (_, bits, text) => {
    expect(decode(packed(bits))).toBe(text);
  });

  it.each([
    ['8 bits of padding', `${codes['0'].repeat(8)}${'1'.repeat(8)}`],
    ['15 bits of padding', `${codes.a}${'1'.repeat(11)}`],
    ['padding only', '1'.repeat(8)],
    ['padding of zeros', `${codes.a}000`],
    ['padding that begins with ones', `${codes.a}110`],
    ['padding that ends with ones', `${codes.b}01`],
    ['EOS alone', codes.end],
    ['EOS within the string', codes.a + codes.end + codes.a],
    ['the first bits of a code', codes.newline.slice(0, 24)],
    ['a long run of ones', '1'.repeat(800)],
  ])('is none: %s', (_, bits) => {
    expect(decode(packed(bits))).toBeUndefined();
  });

  it('makes its block malformed when it is, as a name and as a value', () => {
    const decoder = new HeaderDecoder({ maxListBytes: 10_000, maxFields: 10 });
    expect(decoder.decode(Buffer.from([0x00, 0x81, 0x1f, 0x00]))).toEqual([['a', '']]);
    expect(decoder.decode(Buffer.from([0x00, 0x81, 0x18, 0x00]))).toBe('malformed');
    expect(decoder.decode(Buffer.from([0x04, 0x81, 0x1f]))).toEqual([[':path', 'a']]);
    expect(decoder.decode(Buffer.from([0x04, 0x82, 0x1f, 0xff]))).toBe('malformed');
  });

  it('is decoded between `start` and `end` alone', () => {
    const bytes = Buffer.concat([Buffer.from([0xff]), packed(codes.a + codes.b), Buffer.from([0x00])]);
    expect(decodeHuffman(bytes, 1, bytes.length - 1)).toBe('ab');
  });
});
