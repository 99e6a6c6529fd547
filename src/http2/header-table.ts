export type HeaderField = readonly [name: string, value: string];

/** RFC 7541 Appendix A: each name, with the values that it has there, in the order of their indexes. */
const staticNames = `:authority| :method|GET,POST :path|/,/index.html :scheme|http,https
:status|200,204,206,304,400,404,500 accept-charset| accept-encoding|gzip;deflate accept-language| accept-ranges|
accept| access-control-allow-origin| age| allow| authorization| cache-control| content-disposition|
content-encoding| content-language| content-length| content-location| content-range| content-type| cookie| date|
etag| expect| expires| from| host| if-match| if-modified-since| if-none-match| if-range| if-unmodified-since|
last-modified| link| location| max-forwards| proxy-authenticate| proxy-authorization| range| referer| refresh|
retry-after| server| set-cookie| strict-transport-security| transfer-encoding| user-agent| vary| via|
www-authenticate|`;

/** The field with index 1 comes first. */
export const staticTable: readonly HeaderField[] = staticNames.split(/\s+/).flatMap((entry) => {
  const [name = '', values = ''] = entry.split('|');
  return values.split(',').map((value): HeaderField => [name, value.replace(';', ', ')]);
});

const nothing: HeaderField = ['', ''];
/** Evicted entries stay in the array as empty ones, and are removed together when there are so many. */
const compactAt = 128;

/** RFC 7541 §4.1: what an entry counts in addition to its name and value; bytes. */
export const entryOverhead = 32;

/**
 * The dynamic table of a decoder: the fields that the peer has added, bounded in bytes. The peer may lower
 * the bound.
 * @see RFC 7541 §2.3.2, §4
 */
export class DynamicTable {
  readonly #limit: number;
  #maxSize: number;
  #size = 0;
  /** Oldest first: `#evicted` empty entries, then those of the table. */
  #entries: HeaderField[] = [];
  #evicted = 0;
  /** Number of changes so far. */
  changes = 0;

  /** @param limit SETTINGS_HEADER_TABLE_SIZE as announced to the peer; bytes */
  constructor(limit: number) {
    this.#limit = limit;
    this.#maxSize = limit;
  }

  /**
   * RFC 7541 §2.3.3: static entries first, then the dynamic ones, newest first.
   * @returns undefined beyond the last
   */
  field(index: number): HeaderField | undefined {
    if (index <= staticTable.length) return staticTable[index - 1];
    const at = this.#entries.length - (index - staticTable.length);
    return at < this.#evicted ? undefined : this.#entries[at];
  }

  add(field: HeaderField): void {
    this.changes += 1;
    this.#entries.push(field);
    this.#size += sizeOf(field);
    this.#evict();
  }

  /** @returns false for a size above the announced limit */
  resize(maxSize: number): boolean {
    if (maxSize > this.#limit) return false;
    this.changes += 1;
    this.#maxSize = maxSize;
    this.#evict();
    return true;
  }

  /** RFC 7541 §4.4: an entry that is larger than the table empties it. That is not an error. */
  #evict(): void {
    for (; this.#size > this.#maxSize; this.#evicted += 1) {
      this.#size -= sizeOf(this.#entries[this.#evicted] ?? nothing);
      this.#entries[this.#evicted] = nothing;
    }
    if (this.#evicted < compactAt) return;
    this.#entries = this.#entries.slice(this.#evicted);
    this.#evicted = 0;
  }
}

const sizeOf = ([name, value]: HeaderField): number => name.length + value.length + entryOverhead;
