import { DynamicTable, entryOverhead, type HeaderField } from './header-table.ts';
import { decodeHuffman } from './huffman.ts';

/** Why a block has no fields. After `malformed` the two header tables differ, so the connection must end. */
export type HeaderFailure = 'malformed' | 'too_large';

export type HeaderBounds = {
  /** SETTINGS_MAX_HEADER_LIST_SIZE: the names and values of a list, and 32 bytes for each field. */
  readonly maxListBytes: number;
  readonly maxFields: number;
};

/** The default of SETTINGS_HEADER_TABLE_SIZE, which we leave as it is; bytes. */
const tableBytes = 4096;
/** No index and no length needs to be larger. */
const largestInteger = 2 ** 28;

/**
 * Decodes the header blocks of one connection, in order. A list that exceeds its bounds is decoded to its
 * end, because the fields that it adds to the table must be there for later blocks.
 * @see RFC 7541
 */
export class HeaderDecoder {
  readonly #bounds: HeaderBounds;
  readonly #table = new DynamicTable(tableBytes);
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  constructor(bounds: HeaderBounds) {
    this.#bounds = bounds;
  }

  /** Number of changes to the table so far. While it stays the same, equal blocks decode to equal lists. */
  get tableChanges(): number {
    return this.#table.changes;
  }

  decode(block: Buffer): HeaderField[] | HeaderFailure {
    this.#bytes = block;
    this.#at = 0;
    this.#end = block.length;
    const fields: HeaderField[] = [];
    let listBytes = 0;
    let isFirst = true;
    while (this.#at < this.#end) {
      const field = this.#next(isFirst);
      if (field === 'malformed') return 'malformed';
      if (field === 'resized') continue;
      isFirst = false;
      listBytes += field[0].length + field[1].length + entryOverhead;
      // Above the bound nothing more is kept.
      if (listBytes <= this.#bounds.maxListBytes) fields.push(field);
    }
    const isTooLarge = listBytes > this.#bounds.maxListBytes || fields.length > this.#bounds.maxFields;
    return isTooLarge ? 'too_large' : fields;
  }

  #next(isFirst: boolean): HeaderField | 'resized' | 'malformed' {
    const first = this.#bytes[this.#at] ?? 0;
    if (first >= 0x80) return this.#table.field(this.#integer(7)) ?? 'malformed';
    if (first >= 0x40) {
      const field = this.#literal(6);
      if (field !== 'malformed') this.#table.add(field);
      return field;
    }
    if (first >= 0x20) {
      // RFC 7541 §4.2: a size update is allowed only before the first field.
      const size = this.#integer(5);
      return isFirst && size >= 0 && this.#table.resize(size) ? 'resized' : 'malformed';
    }
    return this.#literal(4);
  }

  #literal(prefixBits: number): HeaderField | 'malformed' {
    const index = this.#integer(prefixBits);
    if (index < 0) return 'malformed';
    const name = index === 0 ? this.#string() : this.#table.field(index)?.[0];
    if (name === undefined) return 'malformed';
    const value = this.#string();
    return value === undefined ? 'malformed' : [name, value];
  }

  /** RFC 7541 §5.1. @returns -1 when it is cut off or above `largestInteger` */
  #integer(prefixBits: number): number {
    if (this.#at >= this.#end) return -1;
    const mask = 2 ** prefixBits - 1;
    let value = (this.#bytes[this.#at] ?? 0) & mask;
    this.#at += 1;
    if (value < mask) return value;
    for (let multiplier = 1; multiplier <= largestInteger && this.#at < this.#end; multiplier *= 128) {
      const byte = this.#bytes[this.#at] ?? 0;
      this.#at += 1;
      value += (byte & 0x7f) * multiplier;
      if (value > largestInteger) return -1;
      if (byte < 0x80) return value;
    }
    return -1;
  }

  #string(): string | undefined {
    const isHuffman = (this.#bytes[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(7);
    if (length < 0 || length > this.#end - this.#at) return undefined;
    const start = this.#at;
    this.#at += length;
    return isHuffman
      ? decodeHuffman(this.#bytes, start, this.#at)
      : this.#bytes.toString('latin1', start, this.#at);
  }
}
