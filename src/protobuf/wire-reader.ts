/** What `WireReader.next` answers instead of a field's number. */
export const endOfMessage = 0;
export const malformedMessage = -1;

/**
 * Walks the protobuf wire format over one buffer, without copying and without allocating. Stricter than the format:
 * groups, field number 0 and varints longer than they can be are malformed, and so is a field of ours in another wire
 * type than it has.
 * @see https://protobuf.dev/programming-guides/encoding/
 */
export class WireReader {
  #bytes: Buffer;
  #at = 0;
  /** The value of the field that `next` has found. */
  start = 0;
  end = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Begins with other bytes. */
  reset(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#at = 0;
  }

  /** Goes into a message within the bytes, or back to behind it. */
  goTo(position: number): void {
    this.#at = position;
  }

  /**
   * Finds the next length-delimited field before `end` and goes behind it; fields of other types are passed over.
   * @param ours one bit for each field number that must be length-delimited
   * @returns the field's number, `endOfMessage` or `malformedMessage`
   */
  next(end: number, ours: number): number {
    const bytes = this.#bytes;
    while (this.#at < end) {
      // Nearly all tags, and most lengths, are one byte: read here, they cost no call.
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
      const isOurs = field < 32 && ((ours >>> field) & 1) === 1;
      if (isOurs || !this.#skip(tag & 7, end)) return malformedMessage;
    }
    return endOfMessage;
  }

  /** An unsigned number below 2^32; -1 if it is longer or cut off. */
  #varint(end: number): number {
    const bytes = this.#bytes;
    let value = 0;
    for (let worth = 1; worth <= 2 ** 28 && this.#at < end; worth *= 2 ** 7) {
      const byte = bytes[this.#at] ?? 0;
      this.#at += 1;
      if (worth === 2 ** 28 && byte > 0x0f) return -1;
      value += (byte & 0x7f) * worth;
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

  /** At most 64 bits, in ten bytes. */
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
