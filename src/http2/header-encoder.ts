import { entryOverhead, staticTable, type HeaderField } from './header-table.ts';
import { unpooledCopy } from './unpooled-copy.ts';

/** The fields of a response. Pass the same array for the same fields: the encoding is cached per array. */
export type HeaderList = readonly HeaderField[];

const staticIndexes: ReadonlyMap<string, number> = new Map(
  staticTable.map(([name, value], index) => [`${name}\n${value}`, index + 1]),
);
/** The default of SETTINGS_HEADER_TABLE_SIZE; bytes. */
const tableLimit = 4096;
const withoutIndexing = 0x00;
const incrementalIndexing = 0x40;

/**
 * Encodes the header blocks of one connection. The fields of repeated lists enter the client's dynamic table,
 * after which each of them is sent as an index of one byte. The table only grows: nothing is added once it is
 * full, so nothing is ever evicted. For a client that changes the table's size the encoder stops using the
 * table.
 * @see RFC 7541
 */
export class HeaderEncoder {
  readonly #repeatedLists: ReadonlySet<HeaderList>;
  /** The fields in the dynamic table, each with the number of fields that were added before it. */
  readonly #indexed = new Map<string, number>();
  readonly #cache = new Map<HeaderList, Buffer>();
  #tableBytes = 0;
  #usesTable = true;
  #mustSendSizeUpdate = false;

  /** @param repeatedLists the lists whose fields enter the dynamic table */
  constructor(repeatedLists: ReadonlySet<HeaderList>) {
    this.#repeatedLists = repeatedLists;
  }

  /**
   * The client has set SETTINGS_HEADER_TABLE_SIZE. RFC 7541 §4.2: the next block must confirm a lower size.
   */
  setPeerTableSize(size: number): void {
    if (size === tableLimit && this.#usesTable) return;
    this.#usesTable = false;
    this.#mustSendSizeUpdate = true;
    this.#cache.clear();
  }

  encode(list: HeaderList): Buffer {
    const cached = this.#cache.get(list);
    if (cached !== undefined && !this.#mustSendSizeUpdate) return cached;
    const entersTable = this.#usesTable && this.#repeatedLists.has(list);
    const before = this.#indexed.size;
    const block = Buffer.concat([
      // RFC 7541 §6.3: a dynamic table size update to 0.
      ...(this.#mustSendSizeUpdate ? [Buffer.from([0x20])] : []),
      ...list.map((field) => this.#encodeField(field, entersTable)),
    ]);
    // A new entry shifts the index of every other.
    if (this.#indexed.size !== before) this.#cache.clear();
    else if (entersTable) this.#cache.set(list, unpooledCopy(block));
    this.#mustSendSizeUpdate = false;
    return block;
  }

  #encodeField([name, value]: HeaderField, entersTable: boolean): Buffer {
    const key = `${name}\n${value}`;
    const staticIndex = staticIndexes.get(key);
    if (staticIndex !== undefined) return encodeInteger(0x80, 7, staticIndex);
    const addedAfter = this.#usesTable ? this.#indexed.get(key) : undefined;
    if (addedAfter !== undefined)
      return encodeInteger(0x80, 7, staticTable.length + this.#indexed.size - addedAfter);
    const size = name.length + value.length + entryOverhead;
    const isAdded = entersTable && this.#tableBytes + size <= tableLimit;
    if (isAdded) {
      this.#indexed.set(key, this.#indexed.size);
      this.#tableBytes += size;
    }
    const kind = isAdded ? incrementalIndexing : withoutIndexing;
    return Buffer.concat([Buffer.from([kind]), encodeString(name), encodeString(value)]);
  }
}

/** RFC 7541 §5.2, without Huffman coding. */
function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([encodeInteger(0, 7, bytes.length), bytes]);
}

/** RFC 7541 §5.1. */
function encodeInteger(firstByte: number, prefixBits: number, value: number): Buffer {
  const mask = 2 ** prefixBits - 1;
  if (value < mask) return Buffer.from([firstByte | value]);
  const bytes = [firstByte | mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return Buffer.from([...bytes, rest]);
}
