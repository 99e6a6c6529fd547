/** `WireReader.next` returns these instead of a field number. */
export const endOfMessage = 0;
export const malformedMessage = -1;

/**
 * Walks the protobuf wire format over one buffer, without copying or allocating. It is stricter than the
 * format: groups, field number 0, overlong varints, and a wrong wire type for a field that the caller knows
 * are malformed.
 * @see https://protobuf.dev/programming-guides/encoding/
 */
export class WireReader {
  #bytes: Buffer;
  #at = 0;
  /** Where the value of the field lies that `next` has found. */
  start = 0;
  end = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Starts over on other bytes, so that one reader can serve all messages. */
  reset(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#at = 0;
  }

  /** Moves to a position: the start of a nested message, or behind it. */
  seek(position: number): void {
    this.#at = position;
  }

  /**
   * Finds the next length-delimited field before `end`, and skips fields of other wire types.
   * @param delimited a bit mask of the field numbers (1 to 31) that are malformed in any other wire type
   * @returns the field number, `endOfMessage` or `malformedMessage`
   */
  next(end: number, delimited: number): number {
    const bytes = this.#bytes;
    while (this.#at < end) {
      // Nearly all tags and most lengths are one byte. Reading those inline saves the call of #varint.
      let tag = bytes[this.#at] ?? 0x80;
      if (tag < 0x80) this.#at += 1;
      else tag = this.#varint(end);
      if (tag < 8) return malformedMessage;
      const field = tag >>> 3;
      if ((tag & 7) === 2) {
        let length = this.#at < end ? (bytes[this.#at] ?? 0x80) : 0x80;
        if (length < 0x80) this.#at += 1;
        else length = this.#varint(end);
        if (length < 0 || length > end - this.#at) return malformedMessage;
        this.start = this.#at;
        this.end = this.#at + length;
        this.#at = this.end;
        return field;
      }
      const mustBeDelimited = field < 32 && ((delimited >>> field) & 1) === 1;
      if (mustBeDelimited || !this.#skip(tag & 7, end)) return malformedMessage;
    }
    return endOfMessage;
  }

  /** @returns an unsigned number below 2^32; -1 when it is larger or truncated */
  #varint(end: number): number {
    const bytes = this.#bytes;
    let value = 0;
    for (let multiplier = 1; multiplier <= 2 ** 28 && this.#at < end; multiplier *= 2 ** 7) {
      const byte = bytes[this.#at] ?? 0;
      this.#at += 1;
      if (multiplier === 2 ** 28 && byte > 0x0f) return -1;
      value += (byte & 0x7f) * multiplier;
      if (byte < 0x80) return value;
    }
    return -1;
  }

  #skip(wireType: number, end: number): boolean {
    if (wireType === 0) return this.#skipVarint(end);
    const length = wireType === 1 ? 8 : wireType === 5 ? 4 : Infinity;
    if (length > end - this.#at) return false;
    this.#at += length;
    return true;
  }

  /** A varint has 64 bits at most, in ten bytes. */
  #skipVarint(end: number): boolean {
    const limit = Math.min(end, this.#at + 10);
    while (this.#at < limit) {
      const byte = this.#bytes[this.#at] ?? 0;
      this.#at += 1;
      if (byte < 0x80) return true;
    }
    return false;
  }
}
