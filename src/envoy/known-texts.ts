/** Texts of at least this many bytes are worth finding again, and of at most this many worth keeping. */
const minBytes = 64;
const maxBytes = 2048;

type Known = { readonly bytes: Buffer; readonly text: string };

/**
 * Gives equal bytes the same text again: a client sends its token with every request. That spares the decoding, the memory
 * of a new text, and the hash by which the token is looked up, which a text keeps once it was made. What does not fit is
 * decoded each time; a newer text takes the place of an older one of the same slot.
 * Cost: a comparison of the bytes; at most about `slots` times 6 kB.
 * @param slots a power of two
 */
export function createKnownTexts(slots = 2048): (bytes: Buffer, start: number, end: number) => string {
  const known: (Known | undefined)[] = Array.from({ length: slots });
  return (bytes, start, end) => {
    const length = end - start;
    if (length === 0) return '';
    if (length < minBytes || length > maxBytes) return bytes.toString('utf8', start, end);
    // The end of a token is its signature, where no two are alike.
    const slot = (bytes.readInt32LE(end - 8) ^ bytes.readInt32LE(end - 4)) & (slots - 1);
    const before = known[slot];
    if (before?.bytes.length === length && before.bytes.compare(bytes, start, end) === 0) return before.text;
    const text = bytes.toString('utf8', start, end);
    // A copy: the bytes are a piece of what came over the connection.
    known[slot] = { bytes: Buffer.from(bytes.subarray(start, end)), text };
    return text;
  };
}
