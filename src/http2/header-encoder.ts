import { entryOverhead, staticTable, type HeaderField } from './header-table.ts';
import { ownCopy } from './unpooled-copy.ts';

/** Fields of a response. The same array for the same fields: what it was encoded to is kept for it. */
export type HeaderList = readonly HeaderField[];

const staticIndexes: ReadonlyMap<string, number> = new Map(
  staticTable.map(([name, value], index) => [`${name}\n${value}`, index + 1]),
);
const largestTable = 4096;
const noIndexing = 0x00;
const incrementalIndexing = 0x40;

/**
 * Encodes the header blocks of one connection. Lists that come again are sent as references to what the peer remembers,
 * one octet a field. A peer that changes the size of its table gets none of that from then on.
 * @see RFC 7541
 */
export class HeaderEncoder {
  readonly #repeated: ReadonlySet<HeaderList>;
  /** Of each remembered field, how many were added before it. */
  readonly #remembered = new Map<string, number>();
  readonly #known = new Map<HeaderList, Buffer>();
  #tableBytes = 0;
  #hasTable = true;
  #mustSayNoTable = false;

  /** @param repeated lists whose fields are worth remembering */
  constructor(repeated: ReadonlySet<HeaderList>) {
    this.#repeated = repeated;
  }

  /** The peer has set SETTINGS_HEADER_TABLE_SIZE. RFC 7541 §4.2: a lower size must be confirmed in the next block. */
  tableSizeSet(size: number): void {
    if (size === largestTable && this.#hasTable) return;
    this.#hasTable = false;
    this.#mustSayNoTable = true;
    this.#known.clear();
  }

  encode(list: HeaderList): Buffer {
    const known = this.#known.get(list);
    if (known !== undefined && !this.#mustSayNoTable) return known;
    const isRepeated = this.#hasTable && this.#repeated.has(list);
    const before = this.#remembered.size;
    const block = Buffer.concat([
      ...(this.#mustSayNoTable ? [Buffer.from([0x20])] : []),
      ...list.map((field) => this.#field(field, isRepeated)),
    ]);
    // What was added moves every index.
    if (this.#remembered.size !== before) this.#known.clear();
    else if (isRepeated) this.#known.set(list, ownCopy(block));
    this.#mustSayNoTable = false;
    return block;
  }

  #field([name, value]: HeaderField, isRepeated: boolean): Buffer {
    const key = `${name}\n${value}`;
    const fixed = staticIndexes.get(key);
    if (fixed !== undefined) return integer(0x80, 7, fixed);
    const added = this.#hasTable ? this.#remembered.get(key) : undefined;
    if (added !== undefined) return integer(0x80, 7, staticTable.length + this.#remembered.size - added);
    const size = name.length + value.length + entryOverhead;
    const remembers = isRepeated && this.#tableBytes + size <= largestTable;
    if (remembers) {
      this.#remembered.set(key, this.#remembered.size);
      this.#tableBytes += size;
    }
    const start = remembers ? incrementalIndexing : noIndexing;
    return Buffer.concat([Buffer.from([start]), text(name), text(value)]);
  }
}

function text(value: string): Buffer {
  const octets = Buffer.from(value, 'latin1');
  return Buffer.concat([integer(0, 7, octets.length), octets]);
}

/** RFC 7541 §5.1. */
function integer(start: number, prefixBits: number, value: number): Buffer {
  const mask = 2 ** prefixBits - 1;
  if (value < mask) return Buffer.from([start | value]);
  const octets = [start | mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) octets.push((rest % 0x80) + 0x80);
  return Buffer.from([...octets, rest]);
}
