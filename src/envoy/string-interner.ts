/** Texts of at least this many bytes are worth finding again, and of at most this many worth keeping. */
const minBytes = 64;
const maxBytes = 4096;

/** A text, and where its bytes are kept. */
type Known = { readonly at: number; readonly length: number; readonly text: string };

/**
 * Gives equal bytes the same text again: a client sends its token with every request. That spares the decoding, the memory
 * of a new text, and the hash by which the token is looked up, which a text keeps once it was made. What does not fit is
 * decoded each time; all is forgotten when there is too much of it.
 * Cost: a look-up and a comparison of the bytes.
 * @param maxKnownBytes of the values remembered; they take four times as much at most
 */
export function createKnownTexts(
  maxKnownBytes = 4 * 1024 * 1024,
): (bytes: Buffer, start: number, end: number) => string {
  const known = new Map<number, Known>();
  // One piece for all: a small buffer of its own for each would keep 64 KiB of Node's pool with it.
  const kept = Buffer.allocUnsafeSlow(maxKnownBytes);
  const maxLength = Math.min(maxBytes, maxKnownBytes);
  let keptBytes = 0;

  const isKept = ({ at, length }: Known, bytes: Buffer, start: number, end: number): boolean =>
    length === end - start && kept.compare(bytes, start, end, at, at + length) === 0;

  return (bytes, start, end) => {
    const length = end - start;
    if (length === 0) return '';
    if (length < minBytes || length > maxLength) return bytes.toString('utf8', start, end);
    // The end of a token is its signature, where no two are alike.
    const hash = (bytes.readInt32LE(end - 8) ^ Math.imul(bytes.readInt32LE(end - 4), 0x9e37_79b1)) >>> 2;
    const before = known.get(hash);
    if (before !== undefined && isKept(before, bytes, start, end)) return before.text;
    const text = bytes.toString('utf8', start, end);
    if (keptBytes + length > maxKnownBytes) {
      known.clear();
      keptBytes = 0;
    }
    // A copy: the bytes are a piece of what came over the connection.
    bytes.copy(kept, keptBytes, start, end);
    known.set(hash, { at: keptBytes, length, text });
    keptBytes += length;
    return text;
  };
}
