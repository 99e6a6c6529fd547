const mostAbandoned = 1024;
/** A power of two. More than are open at once, as a rule. */
const placeCount = 256;

/**
 * The streams of a connection that are open, and what is remembered of others. RFC 9113 §5.1.1.
 *
 * Ids go up by two, so each stream has a place of its own but where more are open than there are places, or one for long. A map alone
 * would do; but V8 gives a map new memory after every so many changes, and the old memory, once it is of the old generation, keeps
 * each stream that was in it until a full collection.
 */
export class StreamTable<Stream extends { readonly id: number }> {
  readonly #places: (Stream | undefined)[] = Array.from({ length: placeCount }, () => undefined);
  /** Those whose place another one has. */
  readonly #others = new Map<number, Stream>();
  #size = 0;
  /** Ended by us before their client had: what still comes for them is no error. */
  readonly #abandoned = new Set<number>();
  /** The highest id that was opened. */
  last = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    const placed = this.#places[placeOf(id)];
    if (placed?.id === id) return placed;
    return this.#others.size === 0 ? undefined : this.#others.get(id);
  }

  /** In no order. */
  all(): Stream[] {
    if (this.#size === 0) return [];
    const streams: Stream[] = [];
    for (const stream of this.#places) if (stream !== undefined) streams.push(stream);
    for (const stream of this.#others.values()) streams.push(stream);
    return streams;
  }

  /** One that is not in it. */
  add(stream: Stream): void {
    const place = placeOf(stream.id);
    if (this.#places[place] === undefined) this.#places[place] = stream;
    else this.#others.set(stream.id, stream);
    this.#size += 1;
  }

  /** One that may not be in it. */
  delete(stream: Stream): void {
    const place = placeOf(stream.id);
    if (this.#places[place] === stream) this.#places[place] = undefined;
    else if (!this.#others.delete(stream.id)) return;
    this.#size -= 1;
  }

  clear(): void {
    this.#places.fill(undefined);
    this.#others.clear();
    this.#size = 0;
  }

  /** True for a stream that nobody has opened yet; ours would be even, and we open none. */
  isIdle(id: number): boolean {
    return id % 2 === 0 || id > this.last;
  }

  isAbandoned(id: number): boolean {
    return this.#abandoned.has(id);
  }

  /** Forgets that it was abandoned. @returns false if it wasn't */
  forgive(id: number): boolean {
    return this.#abandoned.delete(id);
  }

  abandon(id: number): void {
    this.#abandoned.add(id);
    if (this.#abandoned.size <= mostAbandoned) return;
    const [oldest = 0] = this.#abandoned;
    this.#abandoned.delete(oldest);
  }
}

const placeOf = (id: number): number => (id >>> 1) & (placeCount - 1);
