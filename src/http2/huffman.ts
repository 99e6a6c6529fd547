/**
 * The length of each octet's code in bits, and of the code for the end. The codes are canonical: they count up, shorter ones
 * first, those of one length in the order of their octets.
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

const endOfString = 256;
const longestCode = 30;

/** By length of a code: the first code, where its octet is in `symbols`, and how many there are. */
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
 * Decodes a Huffman-coded string, octets as Latin-1. Cost: a step for each bit.
 * @returns undefined for bytes that are none: an end within, or padding that is longer than 7 bits or not all ones
 * @see RFC 7541 §5.2
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  const octets: number[] = [];
  let code = 0;
  let length = 0;
  for (let at = start * 8; at < end * 8; at += 1) {
    code = code * 2 + (((bytes[at >>> 3] ?? 0) >>> (7 - (at & 7))) & 1);
    length += 1;
    const symbol = symbolOf(code, length);
    if (symbol === endOfString || length > longestCode) return undefined;
    if (symbol === undefined) continue;
    octets.push(symbol);
    code = 0;
    length = 0;
  }
  const isPadding = length <= 7 && code === 2 ** length - 1;
  return isPadding ? Buffer.from(octets).toString('latin1') : undefined;
}

function symbolOf(code: number, length: number): number | undefined {
  const index = code - (firstCodes[length] ?? 0);
  return index >= 0 && index < (counts[length] ?? 0) ? symbols[(offsets[length] ?? 0) + index] : undefined;
}
