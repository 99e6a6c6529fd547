export type HeaderField = readonly [name: string, value: string];

/** RFC 7541 Appendix A: names, with the values that they have there. In order; the first has the index 1. */
const staticNames = `:authority| :method|GET,POST :path|/,/index.html :scheme|http,https
:status|200,204,206,304,400,404,500 accept-charset| accept-encoding|gzip;deflate accept-language| accept-ranges|
accept| access-control-allow-origin| age| allow| authorization| cache-control| content-disposition|
content-encoding| content-language| content-length| content-location| content-range| content-type| cookie| date|
etag| expect| expires| from| host| if-match| if-modified-since| if-none-match| if-range| if-unmodified-since|
last-modified| link| location| max-forwards| proxy-authenticate| proxy-authorization| range| referer| refresh|
retry-after| server| set-cookie| strict-transport-security| transfer-encoding| user-agent| vary| via|
www-authenticate|`;

export const staticTable: readonly HeaderField[] = staticNames.split(/\s+/).flatMap((entry) => {
  const [name = '', values = ''] = entry.split('|');
  return values.split(',').map((value): HeaderField => [name, value.replace(';', ', ')]);
});

const nothing: HeaderField = ['', ''];
/** Before their places are let go of, all at once. */
const mostEvicted = 128;

/** RFC 7541 §4.1: what an entry counts besides its octets. */
export const entryOverhead = 32;

/**
 * The fields that a peer has asked to be remembered. Bounded by its size in octets, which the peer may lower.
 * @see RFC 7541 §2.3.2, §4
 */
export class DynamicTable {
  readonly #limit: number;
  #maxSize: number;
  #size = 0;
  /** Newest last, after some that were evicted. */
  #entries: HeaderField[] = [];
  #evicted = 0;
  /** How often it has changed. */
  changes = 0;

  /** @param limit what was announced to the peer; octets */
  constructor(limit: number) {
    this.#limit = limit;
    this.#maxSize = limit;
  }

  /** By its index, static entries first; undefined if there is none. */
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

  /** @returns false for a size above what was announced */
  resize(maxSize: number): boolean {
    if (maxSize > this.#limit) return false;
    this.changes += 1;
    this.#maxSize = maxSize;
    this.#evict();
    return true;
  }

  /** An entry larger than the table empties it, and that is no error. */
  #evict(): void {
    for (; this.#size > this.#maxSize; this.#evicted += 1) {
      this.#size -= sizeOf(this.#entries[this.#evicted] ?? nothing);
      this.#entries[this.#evicted] = nothing;
    }
    if (this.#evicted < mostEvicted) return;
    this.#entries = this.#entries.slice(this.#evicted);
    this.#evicted = 0;
  }
}

const sizeOf = ([name, value]: HeaderField): number => name.length + value.length + entryOverhead;
