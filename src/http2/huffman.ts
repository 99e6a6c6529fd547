/**
 * The code length of each byte value in bits, and last that of EOS. The code is canonical, so the lengths
 * define it: codes count up from 0, shorter ones first, and within one length in the order of their byte
 * values.
 * @see RFC 7541 Appendix B
 */
const codeLengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
  8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
  28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
  22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
  22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
  25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
] as const;

const eos = 256;
const longestCode = 30;

/** By code length: the first code, the place of its byte value in `symbols`, and the number of codes. */
const firstCodes: number[] = [];
const offsets: number[] = [];
const counts: number[] = [];
const symbols: number[] = [];

let nextCode = 0;
for (let length = 0; length <= longestCode; length += 1) {
  nextCode *= 2;
  firstCodes.push(nextCode);
  offsets.push(symbols.length);
  for (const [symbol, itsLength] of codeLengths.entries()) if (itsLength === length) symbols.push(symbol);
  const count = symbols.length - (offsets[length] ?? 0);
  counts.push(count);
  nextCode += count;
}

/**
 * Decodes a Huffman-coded string to Latin-1. Cost: one step per bit.
 * @returns undefined when malformed: EOS within the string, or padding longer than 7 bits or with a zero in
 * it
 * @see RFC 7541 §5.2
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  const decoded: number[] = [];
  let code = 0;
  let length = 0;
  for (let at = start * 8; at < end * 8; at += 1) {
    code = code * 2 + (((bytes[at >>> 3] ?? 0) >>> (7 - (at & 7))) & 1);
    length += 1;
    const symbol = symbolOf(code, length);
    if (symbol === eos || length > longestCode) return undefined;
    if (symbol === undefined) continue;
    decoded.push(symbol);
    code = 0;
    length = 0;
  }
  const isPadding = length <= 7 && code === 2 ** length - 1;
  return isPadding ? Buffer.from(decoded).toString('latin1') : undefined;
}

function symbolOf(code: number, length: number): number | undefined {
  const index = code - (firstCodes[length] ?? 0);
  return index >= 0 && index < (counts[length] ?? 0) ? symbols[(offsets[length] ?? 0) + index] : undefined;
}
