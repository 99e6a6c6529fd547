/** Texts of at least this many bytes are worth finding again, and of at most this many worth keeping. */
const minBytes = 64;
const maxBytes = 4096;

type Known = { readonly bytes: Buffer; readonly text: string };

/**
 * Gives equal bytes the same text again: a client sends its token with every request. That spares the decoding, the memory
 * of a new text, and the hash by which the token is looked up, which a text keeps once it was made. What does not fit is
 * decoded each time; all is forgotten when there is too much of it.
 * Cost: a look-up and a comparison of the bytes.
 * @param maxKnownBytes of the values remembered; they take three times as much at most
 */
export function createKnownTexts(
  maxKnownBytes = 4 * 1024 * 1024,
): (bytes: Buffer, start: number, end: number) => string {
  const known = new Map<number, Known>();
  let knownBytes = 0;
  return (bytes, start, end) => {
    const length = end - start;
    if (length === 0) return '';
    if (length < minBytes || length > maxBytes) return bytes.toString('utf8', start, end);
    // The end of a token is its signature, where no two are alike.
    const hash = (bytes.readInt32LE(end - 8) ^ Math.imul(bytes.readInt32LE(end - 4), 0x9e37_79b1)) >>> 2;
    const before = known.get(hash);
    if (before?.bytes.length === length && before.bytes.compare(bytes, start, end) === 0) return before.text;
    const text = bytes.toString('utf8', start, end);
    if (knownBytes + length > maxKnownBytes) {
      known.clear();
      knownBytes = 0;
    }
    // A copy: the bytes are a piece of what came over the connection.
    known.set(hash, { bytes: Buffer.from(bytes.subarray(start, end)), text });
    knownBytes += length;
    return text;
  };
}
